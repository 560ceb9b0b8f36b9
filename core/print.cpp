// Tensors as text: how PyTorch writes them (torch/_tensor_str.py), numbers and line breaks alike.

#include <algorithm>
#include <cmath>
#include <ostream>

#include "minidl/core/autograd/node.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/shape.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

constexpr std::int64_t kThreshold = 1000;  // elements; of more, only the edges are shown
constexpr std::int64_t kEdge = 3;
constexpr std::int64_t kLineWidth = 80;

// The first and last elements along each dimension that is longer than both.
Tensor edges_of(Tensor x) {
  for (int dim = 0; dim < x.dim(); ++dim) {
    const std::int64_t extent = x.size(dim);
    if (extent <= 2 * kEdge) continue;
    x = cat({x.narrow(dim, 0, kEdge), x.narrow(dim, extent - kEdge, kEdge)}, dim);
  }
  return x;
}

/// Writes floating-point numbers so that all of them fit: whole ones without digits, others with
/// four, in powers of ten where they differ too much.
class RealFormat {
 public:
  explicit RealFormat(const std::vector<double>& values) {
    double smallest = INFINITY;
    double largest = 0;
    for (const double value : values) {
      if (!std::isfinite(value) || value == 0) continue;
      smallest = std::min(smallest, std::abs(value));
      largest = std::max(largest, std::abs(value));
      whole_ = whole_ && value == std::trunc(value);
    }
    scientific_ =
        largest > 0 && (largest / smallest > 1000 || largest > 1e8 || (!whole_ && smallest < 1e-4));
  }

  std::string operator()(double value) const {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    if (scientific_) return fmt::format("{:.4e}", value);
    return whole_ ? fmt::format("{:.0f}.", value) : fmt::format("{:.4f}", value);
  }

 private:
  bool whole_ = true;
  bool scientific_ = false;
};

std::vector<std::string> words_of(const Tensor& x) {
  std::vector<std::string> words;
  if (x.is_floating_point()) {
    const std::vector<double> values = x.to_vector();
    const RealFormat format(values);
    for (const double value : values) words.push_back(format(value));
  } else if (x.dtype() == boolean) {
    for (const bool value : x.to_vector<bool>()) words.emplace_back(value ? "true" : "false");
  } else {
    for (const std::int64_t value : x.to_vector<std::int64_t>()) {
      words.push_back(std::to_string(value));
    }
  }
  std::size_t width = 0;
  for (const std::string& word : words) width = std::max(width, word.size());
  for (std::string& word : words) word.insert(0, width - word.size(), ' ');
  return words;
}

/// Puts the words of a tensor of `shape` into brackets, "..." where `whole` had more.
class Brackets {
 public:
  Brackets(const Shape& whole, const Shape& shape, const std::vector<std::string>& words)
      : whole_(whole), shape_(shape), words_(words) {}

  std::string text() {
    write(0);
    return text_;
  }

 private:
  void write(int dim) {
    if (dim == shape_.size()) {
      text_ += words_[next_++];
      return;
    }
    const bool is_row = dim == shape_.size() - 1;
    const std::int64_t per_line = is_row ? words_per_line(dim) : 1;
    std::string line_break(is_row ? "\n" : "");
    for (int i = dim + 1; i < shape_.size(); ++i) line_break += '\n';
    for (int i = 0; i <= dim; ++i) line_break += ' ';
    std::int64_t written = 0;
    const auto separate = [&] {
      if (written > 0) text_ += written % per_line == 0 ? "," + line_break : ", ";
      ++written;
    };
    text_ += '[';
    for (std::int64_t i = 0; i < shape_[dim]; ++i) {
      if (whole_[dim] > shape_[dim] && i == kEdge) {
        separate();
        text_ += "...";
      }
      separate();
      write(dim + 1);
    }
    text_ += ']';
  }

  std::int64_t words_per_line(int dim) const {
    const auto width = static_cast<std::int64_t>(words_.empty() ? 0 : words_[0].size());
    return std::max<std::int64_t>((kLineWidth - dim - 1) / (width + 2), 1);
  }

  const Shape& whole_;
  const Shape& shape_;
  const std::vector<std::string>& words_;
  std::string text_;
  std::size_t next_ = 0;
};

std::string history_of(const Tensor& tensor) {
  if (!tensor.requires_grad()) return "";
  if (tensor.is_leaf()) return ", requires_grad";
  return fmt::format(", computed by {}", tensor.grad_fn()->name());
}

}  // namespace

std::string to_string(const Tensor& tensor) {
  if (!tensor.defined()) return "undefined tensor";
  const std::string description = describe(tensor) + history_of(tensor);
  if (tensor.is_fake()) return description;
  if (tensor.storage().released()) return description + ", released";
  if (tensor.numel() == 0) return "[]\n" + description;
  const NoGradGuard no_grad;
  const Tensor shown = tensor.numel() > kThreshold ? edges_of(tensor.detach()) : tensor.detach();
  const std::vector<std::string> words = words_of(shown);
  return Brackets(tensor.shape(), shown.shape(), words).text() + "\n" + description;
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << to_string(tensor);
}

}  // namespace minidl
