#include "minidl/core/ops/batch_norm.h"

#include <algorithm>
#include <vector>

#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/norm_specs.h"
#include "minidl/core/ops/shape.h"
#include "minidl/kernels/batch_norm.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/elementwise.h"

namespace minidl {
namespace {

// Operands of both ops: x, weight, bias, then what each adds.
TensorSpec check_operands(const char* op, std::span<const TensorSpec> in) {
  const TensorSpec& x = in[0];
  check(x.dim() >= 2, "{}: the input must be [N, C, ...], not {}", op, x.shape);
  check(in[1].defined == in[2].defined, "{}: weight and bias come together or not at all", op);
  for (const TensorSpec& operand : in.subspan(1)) {
    if (!operand.defined) continue;
    check(operand.shape == Shape{x.shape[1]} && goes_with(x.dtype, operand.dtype),
          "{}: an input {}{} needs parameters and statistics {}[{}], not {}{}", op, x.dtype,
          x.shape, accumulation_dtype(x.dtype), x.shape[1], operand.dtype, operand.shape);
  }
  return elementwise_spec(op, in.first(1));
}

void inverse_deviation(ExecContext& ctx, const kernels::View& variance, double eps,
                       const kernels::View& out) {
  kernels::copy(ctx, variance, out);
  kernels::affine(ctx, out, 1, eps, out);
  kernels::power(ctx, out, -0.5, out);
}

std::int64_t values_per_channel(const Tensor& x) {
  return x.numel() / std::max<std::int64_t>(x.size(1), 1);
}

struct ChannelSums {
  Tensor dy;
  Tensor dy_xhat;
};

ChannelSums backward_sums(const Tensor& dy, const Tensor& x, const Tensor& mean,
                          const Tensor& inv_std) {
  ChannelSums sums{empty_like(mean), empty_like(mean)};
  ExecContext exec = context_for(x);
  kernels::batch_norm_backward_reduce(exec, dy.view(), x.view(), mean.view(), inv_std.view(),
                                      sums.dy.view(), sums.dy_xhat.view());
  return sums;
}

void set_parameter_gradients(const BackwardContext& ctx, const ChannelSums& sums, Tensors& result) {
  result[1] = sums.dy_xhat.to(ctx.input_spec(1).dtype);
  result[2] = sums.dy.to(ctx.input_spec(2).dtype);
}

kernels::View optional_view(const Tensor& tensor) {
  return tensor.defined() ? tensor.view() : kernels::View{};
}

class BatchNormTraining final : public Op {
 public:
  explicit BatchNormTraining(double eps) : eps_(eps) {}
  const char* name() const override { return "batch_norm"; }
  std::string attributes() const override {
    return Attributes().add("training", true).add("eps", eps_).text();
  }
  // Outputs: y, mean, variance, and the inverse standard deviation for backward.
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec y = check_operands(name(), in);
    const TensorSpec channel = statistic_spec(in[0], {in[0].shape[1]});
    return {y, channel, channel, channel};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::batch_norm_stats(ctx, in[0], out[1], out[2]);
    inverse_deviation(ctx, out[2], eps_, out[3]);
    kernels::batch_norm_apply(ctx, in[0], out[1], out[3], in[1], in[2], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 3, .outputs = 10};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const bool affine = ctx.input_spec(1).defined;
    const Tensor weight = affine ? ctx.input(1) : Tensor();
    const Tensor mean = ctx.output(1);
    const Tensor inv_std = ctx.output(3);
    const ChannelSums sums = backward_sums(grads[0], x, mean, inv_std);
    Tensors result(3);
    if (ctx.needs_grad(0)) {
      result[0] = empty_like(x);
      const auto count = static_cast<double>(values_per_channel(x));
      ExecContext exec = context_for(x);
      kernels::batch_norm_backward_apply(exec, grads[0].view(), x.view(), mean.view(),
                                         inv_std.view(), optional_view(weight), sums.dy.view(),
                                         sums.dy_xhat.view(), count, result[0].view());
    }
    if (affine) set_parameter_gradients(ctx, sums, result);
    return result;
  }

 private:
  double eps_;
};

// The statistics of all ranks together, in f64.
struct GlobalStats {
  Tensor mean;
  Tensor variance;
  double count = 0;
};

// Each rank brings a row [count, mean, variance]. Pairs are combined by Chan, Golub and LeVeque
// 1979 in the order of the ranks, by every rank for itself: all get the same bits.
GlobalStats gather_stats(const Tensor& x, Communicator& communicator) {
  const std::int64_t channels = x.size(1);
  const TensorOptions local{.dtype = accumulation_dtype(x.dtype()), .device = x.device()};
  const TensorOptions wide{.dtype = f64, .device = x.device()};
  const Tensor mean = empty({channels}, local);
  const Tensor variance = empty({channels}, local);
  ExecContext exec = context_for(x);
  kernels::batch_norm_stats(exec, x.view(), mean.view(), variance.view());
  const auto count = static_cast<double>(values_per_channel(x));
  const Tensor row = cat({full({1}, count, wide), mean.to(f64), variance.to(f64)});
  const Tensor rows = empty({communicator.size(), row.numel()}, wide);
  communicator.all_gather(row, rows, fmt::format("statistics of batch_norm, input {}", x.shape()))
      ->wait();

  GlobalStats all{.mean = zeros({channels}, wide), .variance = zeros({channels}, wide)};
  const std::vector<double> counts = rows.select(1, 0).to_vector();
  for (std::size_t rank = 0; rank < counts.size(); ++rank) {
    if (counts[rank] == 0) continue;
    const Tensor theirs = rows.select(0, static_cast<std::int64_t>(rank)).slice(0, 1, row.numel());
    const double total = all.count + counts[rank];
    const double share = counts[rank] / total;
    const Tensor delta = theirs.slice(0, 0, channels) - all.mean;
    all.mean = all.mean + delta * share;
    all.variance = all.variance * (1 - share) + theirs.slice(0, channels, 2 * channels) * share +
                   delta * delta * (share * (1 - share));
    all.count = total;
  }
  return all;
}

// Inputs: x, weight, bias, mean, inverse standard deviation; the last two belong to all ranks.
class SyncBatchNorm final : public Op {
 public:
  SyncBatchNorm(Communicator& communicator, double count)
      : communicator_(communicator), count_(count) {}
  const char* name() const override { return "batch_norm"; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {check_operands(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::batch_norm_apply(ctx, in[0], in[3], in[4], in[1], in[2], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 0b11011};
  }

  // With s for the ranks, n_s = x.size(0) there, N = sum of n_s and M = count_, the loss of the
  // whole batch is L = sum of n_s / N * L_s. Its gradient by x mixes the ranks:
  //   dL/dx_r = w * inv_std * (dL/dy_r - (sum_s S_s + xhat_r * sum_s T_s) / M)
  // where S_s and T_s are the channel sums of dL/dy_s and of dL/dy_s * xhat_s. A rank's tape does
  // not hold these: DataParallel scales parameter gradients by n_r / N at the end, so gradients on
  // rank r are N / n_r * dL/d(...) everywhere. In such gradients, g_r(y) and the local sums S'_s
  // and T'_s of g_s(y), the same equation times N / n_r reads
  //   g_r(x) = w * inv_std * (g_r(y) - sum_s n_s / n_r * (S'_s + xhat_r * T'_s) / M).
  // Those of weight and bias are the local sums, which DataParallel averages like any other.
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const bool affine_params = ctx.input_spec(1).defined;
    const Tensor mean = ctx.input(3);
    const Tensor inv_std = ctx.input(4);
    const ChannelSums sums = backward_sums(grads[0], x, mean, inv_std);
    Tensors result(5);
    if (affine_params) set_parameter_gradients(ctx, sums, result);
    if (!ctx.needs_grad(0)) return result;

    const auto samples = static_cast<double>(x.size(0));
    const Tensor all = cat({sums.dy, sums.dy_xhat}).to(f64) * samples;
    communicator_
        .all_reduce(all, Reduction::sum, fmt::format("backward of batch_norm, input {}", x.shape()))
        ->wait();
    result[0] = empty_like(x);
    if (x.numel() == 0) return result;
    const Tensor mine = (all * (1 / samples)).to(mean.dtype());
    const std::int64_t channels = x.size(1);
    ExecContext exec = context_for(x);
    kernels::batch_norm_backward_apply(
        exec, grads[0].view(), x.view(), mean.view(), inv_std.view(),
        affine_params ? ctx.input(1).view() : kernels::View{}, mine.slice(0, 0, channels).view(),
        mine.slice(0, channels, 2 * channels).view(), count_, result[0].view());
    return result;
  }

 private:
  Communicator& communicator_;
  double count_;
};

// Inputs: x, weight, bias, mean, variance.
class BatchNormInference final : public Op {
 public:
  explicit BatchNormInference(double eps) : eps_(eps) {}
  const char* name() const override { return "batch_norm"; }
  std::string attributes() const override { return Attributes().add("eps", eps_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {check_operands(name(), in), statistic_spec(in[0], {in[0].shape[1]})};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    inverse_deviation(ctx, in[4], eps_, out[1]);
    kernels::batch_norm_apply(ctx, in[0], in[3], out[1], in[1], in[2], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 0b01011, .outputs = 2};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const bool affine = ctx.input_spec(1).defined;
    const Tensor inv_std = ctx.output(1);
    Tensors result(5);
    if (ctx.needs_grad(0)) {
      Shape per_channel = Dims::filled(x.dim(), 1);
      per_channel[1] = x.size(1);
      const Tensor scale = affine ? inv_std * ctx.input(1) : inv_std;
      result[0] = (grads[0] * scale.reshape(per_channel)).to(x.dtype());
    }
    if (affine && (ctx.needs_grad(1) || ctx.needs_grad(2))) {
      const ChannelSums sums = backward_sums(grads[0], x, ctx.input(3), inv_std);
      set_parameter_gradients(ctx, sums, result);
    }
    return result;
  }

 private:
  double eps_;
};

}  // namespace

BatchNormResult batch_norm_training(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    double eps) {
  const Tensors outputs = apply_op(std::make_shared<BatchNormTraining>(eps), {x, weight, bias});
  return {
      .y = outputs[0], .mean = outputs[1], .variance = outputs[2], .count = values_per_channel(x)};
}

BatchNormResult sync_batch_norm_training(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                         double eps, Communicator& communicator) {
  check_operands("batch_norm", std::vector{spec_of(x), spec_of(weight), spec_of(bias)});
  GlobalStats stats;
  Tensor mean;
  Tensor inv_std;
  {
    const NoGradGuard no_grad;
    stats = gather_stats(x, communicator);
    mean = stats.mean.to(accumulation_dtype(x.dtype()));
    inv_std = pow(stats.variance + eps, -0.5).to(mean.dtype());
  }
  const auto op = std::make_shared<SyncBatchNorm>(communicator, stats.count);
  return {.y = apply_op(op, {x, weight, bias, mean, inv_std}).front(),
          .mean = mean,
          .variance = stats.variance.to(mean.dtype()),
          .count = static_cast<std::int64_t>(stats.count)};
}

Tensor batch_norm_inference(const Tensor& x, const Tensor& mean, const Tensor& variance,
                            const Tensor& weight, const Tensor& bias, double eps) {
  return apply_op<BatchNormInference>({x, weight, bias, mean.detach(), variance.detach()}, eps);
}

}  // namespace minidl
