#include "softcap.h"

#include <minidl/minidl.h>

#include <string>

namespace dl = minidl;

#if !MINIDL_HAS_CUDA  // minidl was built without: it has no GPU to call these for
void softcap_cuda(const dl::ExecContext&, const dl::kernels::View&, double,
                  const dl::kernels::View&) {}
void softcap_backward_cuda(const dl::ExecContext&, const dl::kernels::View&,
                           const dl::kernels::View&, double, const dl::kernels::View&) {}
#endif

namespace {

// dx from the gradient and y. An operation, too, so that graphs and profiles know it.
class SoftcapGradient final : public dl::Op {
 public:
  explicit SoftcapGradient(double cap) : cap_(cap) {}
  const char* name() const override { return "softcap_backward"; }
  bool differentiable() const override { return false; }
  dl::TensorSpecs infer(std::span<const dl::TensorSpec> in) const override {
    return {in[0].with_shape(in[0].shape)};
  }
  void compute(dl::ExecContext& ctx, dl::Views in, dl::Views out) const override {
    if (!ctx.device.is_cpu()) return softcap_backward_cuda(ctx, in[0], in[1], cap_, out[0]);
    dl::visit_float(name(), in[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      const SoftcapBackward<T> f{static_cast<T>(cap_)};
      for (std::int64_t i = 0; i < in[0].numel(); ++i) {
        out[0].ptr<T>()[i] = f(in[0].ptr<T>()[i], in[1].ptr<T>()[i]);
      }
    });
  }

 private:
  double cap_;
};

class Softcap final : public dl::Op {
 public:
  explicit Softcap(double cap) : cap_(cap) {}
  const char* name() const override { return "softcap"; }
  std::string attributes() const override { return "cap " + std::to_string(cap_); }
  dl::TensorSpecs infer(std::span<const dl::TensorSpec> in) const override {
    if (!(cap_ > 0)) throw dl::Error("softcap: cap must be positive, not " + std::to_string(cap_));
    if (in[0].dtype != dl::f32 && in[0].dtype != dl::f64) {
      throw dl::Error(std::string("softcap: f32 or f64 is needed, not ") + dl::name(in[0].dtype));
    }
    return {in[0].with_shape(in[0].shape)};
  }
  void compute(dl::ExecContext& ctx, dl::Views in, dl::Views out) const override {
    if (!ctx.device.is_cpu()) return softcap_cuda(ctx, in[0], cap_, out[0]);
    dl::visit_float(name(), in[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      const SoftcapForward<T> f{static_cast<T>(cap_)};
      for (std::int64_t i = 0; i < in[0].numel(); ++i) {
        out[0].ptr<T>()[i] = f(in[0].ptr<T>()[i]);
      }
    });
  }
  dl::Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.outputs = 1}; }
  dl::Tensors backward(const dl::BackwardContext& ctx, const dl::Tensors& grads) const override {
    return {dl::apply_op<SoftcapGradient>({grads[0].contiguous(), ctx.output(0)}, cap_)};
  }

 private:
  double cap_;
};

}  // namespace

dl::Tensor softcap(const dl::Tensor& x, double cap) {
  return dl::apply_op<Softcap>({x.contiguous()}, cap);
}
