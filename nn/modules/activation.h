// Activations and other modules without parameters, for Sequential.
#pragma once

#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/nn/module.h"

namespace minidl::nn {

/// max(x, 0)
class ReLU : public Module<ReLU> {
 public:
  ReLU() = default;
  ReLU(ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }
  Tensor forward(const Tensor& x) { return relu(x); }
};

class Sigmoid : public Module<Sigmoid> {
 public:
  Sigmoid() = default;
  Sigmoid(ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }
  Tensor forward(const Tensor& x) { return sigmoid(x); }
};

class Tanh : public Module<Tanh> {
 public:
  Tanh() = default;
  Tanh(ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }
  Tensor forward(const Tensor& x) { return minidl::tanh(x); }
};

/// minidl::gelu
class GELU : public Module<GELU> {
 public:
  explicit GELU(GeluApproximation approximation = GeluApproximation::none)
      : approximation_(approximation) {}
  GELU(ModuleBase& parent, std::string_view name,
       GeluApproximation approximation = GeluApproximation::none)
      : approximation_(approximation) {
    parent.register_module(name, *this);
  }
  Tensor forward(const Tensor& x) { return gelu(x, approximation_); }

 private:
  GeluApproximation approximation_;
};

class Softmax : public Module<Softmax> {
 public:
  explicit Softmax(std::int64_t dim = -1) : dim_(dim) {}
  Softmax(ModuleBase& parent, std::string_view name, std::int64_t dim = -1) : dim_(dim) {
    parent.register_module(name, *this);
  }
  Tensor forward(const Tensor& x) { return softmax(x, dim_); }

 private:
  std::int64_t dim_;
};

class LogSoftmax : public Module<LogSoftmax> {
 public:
  explicit LogSoftmax(std::int64_t dim = -1) : dim_(dim) {}
  LogSoftmax(ModuleBase& parent, std::string_view name, std::int64_t dim = -1) : dim_(dim) {
    parent.register_module(name, *this);
  }
  Tensor forward(const Tensor& x) { return log_softmax(x, dim_); }

 private:
  std::int64_t dim_;
};

/// Drops elements with probability p while training.
class Dropout : public Module<Dropout> {
 public:
  explicit Dropout(double p = 0.5) : p_(p) {}
  Dropout(ModuleBase& parent, std::string_view name, double p = 0.5) : p_(p) {
    parent.register_module(name, *this);
  }
  Tensor forward(const Tensor& x) { return dropout(x, p_, training()); }

 private:
  double p_;
};

/// [N, …] -> [N, everything else]
class Flatten : public Module<Flatten> {
 public:
  Flatten() = default;
  Flatten(ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }
  Tensor forward(const Tensor& x) { return x.flatten(1); }
};

class Identity : public Module<Identity> {
 public:
  Identity() = default;
  Identity(ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }
  Tensor forward(const Tensor& x) { return x; }
};

}  // namespace minidl::nn
