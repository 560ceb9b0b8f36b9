#include "minidl/nn/summary.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <string_view>
#include <typeinfo>
#include <utility>

#include "minidl/core/grad_mode.h"
#include "minidl/core/module_path.h"
#include "minidl/core/op.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn {
namespace {

// "Conv2d" of minidl::nn::Conv2d, "Net" of a struct in an unnamed namespace.
std::string type_of(const ModuleBase& module) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(typeid(module).name(), nullptr, nullptr, &status), &std::free);
  std::string name = status == 0 ? text.get() : typeid(module).name();
  const std::size_t arguments = std::min(name.find('<'), name.size());
  const std::size_t scope = name.rfind("::", arguments);
  return scope == std::string::npos ? name : name.substr(scope + 2);
}

// Multiply-adds count twice.
double flops_of(const std::string_view op, const Tensors& inputs, const Tensors& outputs) {
  const auto count = [](std::int64_t n) { return static_cast<double>(n); };
  if (op == "conv2d" || op == "linear") {
    const Tensor& weight = inputs.at(1);  // [out, what each output sums]
    return 2 * count(outputs.at(0).numel()) * count(weight.numel()) / count(weight.size(0));
  }
  if (op == "conv_transpose2d") {
    const Tensor& weight = inputs.at(1);  // [in, what each input is added to]
    return 2 * count(inputs.at(0).numel()) * count(weight.numel()) / count(weight.size(0));
  }
  if (op == "matmul") return 2 * count(outputs.at(0).numel()) * count(inputs.at(0).size(-1));
  return 0;
}

class FlopCounter final : public OpObserver {
 public:
  void on_op(const std::shared_ptr<const Op>& op, const Tensors& inputs,
             const Tensors& outputs) override {
    const double flops = flops_of(op->name(), inputs, outputs);
    if (flops > 0) by_path[current_module_path()] += flops;
  }

  std::map<std::string, double> by_path;
};

bool is_inside(const std::string& path, const std::string& module) {
  return module.empty() || path == module ||
         (path.size() > module.size() && path.compare(0, module.size(), module) == 0 &&
          path[module.size()] == '.');
}

std::string count_text(double count) {
  if (count >= 1e9) return fmt::format("{:.2f} G", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.2f} M", count / 1e6);
  if (count >= 1e3) return fmt::format("{:.2f} k", count / 1e3);
  return count > 0 ? fmt::format("{:.0f}", count) : "";
}

std::string shapes_text(const std::vector<Shape>& shapes) {
  std::string text;
  for (const Shape& shape : shapes) text += (text.empty() ? "" : ", ") + minidl::to_string(shape);
  return text;
}

// The hooks of one call, taken back at its end.
class Watch {
 public:
  Watch(ModuleBase& model, std::vector<SummaryRow>& rows) {
    for (const auto& [path, module] : model.named_modules()) {
      SummaryRow row;
      row.path = path;
      row.type = type_of(*module);
      for (const NamedTensor& parameter : module->named_parameters()) {
        if (parameter.name.find('.') == std::string::npos)
          row.parameters += parameter.tensor.numel();
      }
      rows.push_back(std::move(row));
    }
    std::size_t index = 0;
    for (const auto& [path, module] : model.named_modules()) {
      hooks_.push_back(module->register_forward_hook(
          [&rows, index](ModuleBase&, const Tensors&, const Tensors& outputs) {
            SummaryRow& row = rows[index];
            ++row.calls;
            row.outputs.clear();
            for (const Tensor& output : outputs) {
              if (output.defined()) row.outputs.push_back(output.shape());
            }
          }));
      ++index;
    }
  }
  ~Watch() {
    for (HookHandle& hook : hooks_) hook.remove();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  std::vector<HookHandle> hooks_;
};

}  // namespace

Summary summary(ModuleBase& model, const std::function<void()>& forward) {
  Summary result;
  FlopCounter counter;
  {
    const Watch watch(model, result.rows);
    const NoGradGuard no_grad;
    forward();
  }
  for (const auto& [path, flops] : counter.by_path) {
    result.flops += flops;
    for (SummaryRow& row : result.rows) {
      if (is_inside(path, row.path)) row.flops += flops;
    }
  }
  for (const NamedTensor& entry : model.named_parameters()) {
    result.parameters += entry.tensor.numel();
    if (entry.tensor.requires_grad()) result.trainable_parameters += entry.tensor.numel();
  }
  for (const NamedTensor& entry : model.state_dict()) {
    result.parameter_bytes +=
        entry.tensor.numel() * static_cast<std::int64_t>(size_of(entry.tensor.dtype()));
  }
  return result;
}

Summary summary(ModuleBase& model, const Shape& input, DType dtype) {
  const StateDict parameters = model.named_parameters();
  const Device device = parameters.empty() ? default_device() : parameters.front().tensor.device();
  return summary(model, [&] { model.call(fake(input, {.dtype = dtype, .device = device})); });
}

std::string Summary::to_string() const {
  std::string text = fmt::format("{:32} {:24} {:28} {:>12} {:>10}\n", "module", "type", "output",
                                 "parameters", "FLOPs");
  for (const SummaryRow& row : rows) {
    text += fmt::format("{:32} {:24} {:28} {:>12} {:>10}\n", row.path.empty() ? "." : row.path,
                        row.type, row.calls == 0 ? "not called" : shapes_text(row.outputs),
                        row.parameters > 0 ? std::to_string(row.parameters) : "",
                        count_text(row.flops));
  }
  return text + fmt::format("{} parameters, {} of them trained, {:.2f} MB; {} FLOPs forward\n",
                            parameters, trainable_parameters,
                            static_cast<double>(parameter_bytes) / 1e6,
                            flops > 0 ? count_text(flops) : "0");
}

}  // namespace minidl::nn
