// Gradients by trying.
#pragma once

#include <functional>
#include <vector>

#include "tests/write_behind.h"

namespace minidl::test {

/// Central differences of `f` with respect to every element of x, which is f64 and contiguous.
inline std::vector<double> finite_differences(const Tensor& x, const std::function<double()>& f) {
  constexpr double kStep = 1e-6;
  std::vector<double> values = x.to_vector();
  std::vector<double> result;
  for (double& value : values) {
    const double before = value;
    value = before + kStep;
    write_behind(x, values);
    const double above = f();
    value = before - kStep;
    write_behind(x, values);
    result.push_back((above - f()) / (2 * kStep));
    value = before;
  }
  write_behind(x, values);
  return result;
}

}  // namespace minidl::test
