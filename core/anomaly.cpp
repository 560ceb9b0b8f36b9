#include "minidl/core/anomaly.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

thread_local bool enabled_here = false;

// Shapes only, views of other dtypes and undefined tensors have none.
bool has_nan(const Tensor& tensor) {
  if (!tensor.defined() || tensor.is_fake() || tensor.numel() == 0) return false;
  if (!tensor.is_floating_point() || tensor.storage().released()) return false;
  const bool reducible = tensor.dtype() == f32 || tensor.dtype() == f64;
  return std::isnan((reducible ? tensor : tensor.to(f32)).detach().amax().item());
}

// "[1, 0, 7]": the first element that is NaN.
std::string first_nan(const Tensor& tensor) {
  const std::vector<double> values = tensor.to_vector();
  const auto found = std::find_if(values.begin(), values.end(), [](double v) { return v != v; });
  auto index = static_cast<std::int64_t>(found - values.begin());
  Dims place = tensor.shape();
  for (int dim = tensor.dim() - 1; dim >= 0; --dim) {
    place[dim] = index % tensor.shape()[dim];
    index /= tensor.shape()[dim];
  }
  return to_string(place);
}

// "operand 1", the first of them that has a NaN; "" if none has.
std::string first_with_nan(const char* what, const Tensors& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (has_nan(tensors[i])) return fmt::format("{} {}", what, i);
  }
  return "";
}

// The search is made of operations, too.
class Searching {
 public:
  Searching() : previous_(std::exchange(enabled_here, false)) {}
  ~Searching() { enabled_here = previous_; }
  Searching(const Searching&) = delete;
  Searching& operator=(const Searching&) = delete;

 private:
  bool previous_;
  NoGradGuard no_grad_;
};

}  // namespace

DetectAnomaly::DetectAnomaly(bool enabled) : previous_(std::exchange(enabled_here, enabled)) {}

DetectAnomaly::~DetectAnomaly() {
  enabled_here = previous_;
}

bool detecting_anomalies() {
  return enabled_here;
}

void detail::check_results(const char* op, const Tensors& operands, const Tensors& results) {
  const Searching searching;
  for (const Tensor& result : results) {
    if (!has_nan(result)) continue;
    const std::string source = first_with_nan("operand", operands);
    fail("{}: element {} of its result {} is NaN; {}", op, first_nan(result), describe(result),
         source.empty() ? "no operand has one" : source + " has one already");
  }
}

void detail::check_gradients(const char* op, const std::string& path, const Tensors& arrived,
                             const Tensors& gradients) {
  const Searching searching;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!has_nan(gradients[i])) continue;
    const std::string source = first_with_nan("gradient", arrived);
    const std::string where = path.empty() ? "" : fmt::format(" of module '{}'", path);
    fail("{}{}: element {} of the gradient of its operand {}, {}, is NaN; {}", op, where,
         first_nan(gradients[i]), i, describe(gradients[i]),
         source.empty() ? "the gradients of its results have none"
                        : source + " of its results has one already");
  }
}

}  // namespace minidl
