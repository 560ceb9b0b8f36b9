// What minidl calls the cases of tests/fixtures/torch_ops.py.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/ops/sort.h"
#include "minidl/core/tensor.h"

namespace minidl::test {

/// A case: its inputs to its results, in PyTorch's order.
struct TorchRow {
  std::string name;
  std::function<Tensors(const Tensors& inputs)> run;
  double tolerance = 1e-9;
};

inline Tensors as_tensors(const Tensor& result) {
  return {result};
}
inline Tensors as_tensors(const ValuesAndIndices& result) {
  return {result.values, result.indices};
}
inline Tensors as_tensors(const Unique& result) {
  return {result.values, result.inverse, result.counts};
}

template <class F>
void add_row(std::vector<TorchRow>& rows, const char* name, F f) {
  rows.push_back({name, [f](const Tensors& inputs) { return as_tensors(f(inputs)); }});
}

// The cases by family, as in the script.
void add_torch_elementwise(std::vector<TorchRow>& rows);
void add_torch_reductions(std::vector<TorchRow>& rows);
void add_torch_shapes(std::vector<TorchRow>& rows);
void add_torch_indexing(std::vector<TorchRow>& rows);
void add_torch_products(std::vector<TorchRow>& rows);
void add_torch_convolutions(std::vector<TorchRow>& rows);
void add_torch_normalizations(std::vector<TorchRow>& rows);
void add_torch_losses(std::vector<TorchRow>& rows);

}  // namespace minidl::test
