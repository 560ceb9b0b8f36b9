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

/// [N, …] -> [N, everything else], or the dimensions from start_dim to end_dim to one.
class Flatten : public Module<Flatten> {
 public:
  explicit Flatten(std::int64_t start_dim = 1, std::int64_t end_dim = -1)
      : start_dim_(start_dim), end_dim_(end_dim) {}
  Flatten(ModuleBase& parent, std::string_view name, std::int64_t start_dim = 1,
          std::int64_t end_dim = -1)
      : start_dim_(start_dim), end_dim_(end_dim) {
    parent.register_module(name, *this);
  }
  Tensor forward(const Tensor& x) { return x.flatten(start_dim_, end_dim_); }

 private:
  std::int64_t start_dim_;
  std::int64_t end_dim_;
};

/// Splits dimension `dim` into those of `shape`; one extent may be -1.
class Unflatten : public Module<Unflatten> {
 public:
  Unflatten(std::int64_t dim, const Shape& shape) : dim_(dim), shape_(shape) {}
  Unflatten(ModuleBase& parent, std::string_view name, std::int64_t dim, const Shape& shape)
      : dim_(dim), shape_(shape) {
    parent.register_module(name, *this);
  }
  Tensor forward(const Tensor& x) {
    const int dim = normalize_dim("Unflatten", dim_, x.dim());
    Shape shape = x.shape().slice(0, dim);
    for (const std::int64_t extent : shape_) shape.push_back(extent);
    for (const std::int64_t extent : x.shape().slice(dim + 1, x.dim())) shape.push_back(extent);
    return x.reshape(shape);
  }

 private:
  std::int64_t dim_;
  Shape shape_;
};

class Identity : public Module<Identity> {
 public:
  Identity() = default;
  Identity(ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }
  Tensor forward(const Tensor& x) { return x; }
};

}  // namespace minidl::nn
