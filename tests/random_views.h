// Operands for kernel tests: small tensors of random numbers in every layout a kernel may meet.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "minidl/kernels/common/transfer.h"
#include "minidl/kernels/common/view.h"
#include "tests/device.h"

namespace minidl::test {

/// Fresh for every run, unless MINIDL_TEST_SEED repeats an earlier one. Show it with INFO.
inline unsigned test_seed() {
  static const unsigned seed = [] {
    const char* text = std::getenv("MINIDL_TEST_SEED");
    return text != nullptr ? static_cast<unsigned>(std::stoul(text)) : std::random_device{}();
  }();
  return seed;
}

/// How the elements of an operand lie in memory.
enum class Layout {
  contiguous,
  reversed,       ///< the first dimension is dense, the last one outermost
  sliced,         ///< every other element of a larger tensor
  stretched,      ///< the first dimension repeats one slice (stride 0)
  channels_last,  ///< NHWC, of 4-D shapes only
};
inline constexpr Layout kLayouts[] = {Layout::contiguous, Layout::reversed, Layout::sliced,
                                      Layout::stretched};
inline constexpr Layout kOutputLayouts[] = {Layout::contiguous, Layout::reversed, Layout::sliced};

/// Shapes on which loops go wrong: scalars, empty, single, odd, longer than a vector register.
inline const std::vector<Shape>& edge_shapes() {
  static const std::vector<Shape> shapes{{},     {0},       {1},       {3, 0, 2},    {7},
                                         {2, 3}, {4, 1, 5}, {1, 1, 1}, {2, 3, 4, 5}, {3, 41}};
  return shapes;
}

/// Owns the storage of a View on the test device and reads and writes it by logical row-major
/// index, as double. Ask for view() anew for each kernel: it brings what was set to the device.
class TestTensor {
 public:
  TestTensor(DType dtype, const Shape& shape, Layout layout = Layout::contiguous) {
    view_.dtype = dtype;
    view_.shape = shape;
    view_.strides = make_strides(shape, layout);
    view_.defined = true;
    std::int64_t extent = 1;
    for (int i = 0; i < shape.size(); ++i) {
      extent += std::max<std::int64_t>(shape[i] - 1, 0) * view_.strides[i];
    }
    host_.resize(static_cast<std::size_t>(extent) * size_of(dtype));
    place();
  }
  TestTensor(const TestTensor& other) : view_(other.view_), host_(other.current()) { place(); }
  TestTensor& operator=(const TestTensor&) = delete;

  /// Every element drawn from `draw`; stretched elements keep the last number drawn.
  TestTensor& fill(const std::function<double()>& draw) {
    for (std::int64_t i = 0; i < numel(); ++i) set(i, draw());
    return *this;
  }

  const kernels::View& view() const {
    if (on_device_.data() == nullptr) return view_;
    if (newer_ == Side::host) copy_to(test_device(), view_.data, cpu, host_.data());
    newer_ = Side::device;  // or will be, once a kernel has had it
    return view_;
  }
  /// For the shape and the strides: the elements stay where they are.
  const kernels::View& geometry() const { return view_; }
  std::int64_t numel() const { return view_.numel(); }

  double get(std::int64_t i) const {
    return visit_dtype(view_.dtype, [&](auto zero) {
      using T = decltype(zero);
      return static_cast<double>(reinterpret_cast<const T*>(current().data())[offset(i)]);
    });
  }
  void set(std::int64_t i, double value) {
    current();
    newer_ = Side::host;
    visit_dtype(view_.dtype, [&](auto zero) {
      using T = decltype(zero);
      T& element = reinterpret_cast<T*>(host_.data())[offset(i)];
      if constexpr (std::is_class_v<T>) {
        element = T(static_cast<float>(value));
      } else {
        element = static_cast<T>(value);
      }
    });
  }
  std::vector<double> values() const {
    std::vector<double> result;
    for (std::int64_t i = 0; i < numel(); ++i) result.push_back(get(i));
    return result;
  }
  bool same_bits(const TestTensor& other) const { return current() == other.current(); }

 private:
  enum class Side { host, device };

  void place() {
    view_.data = host_.data();
    if (test_device().is_cpu()) return;
    on_device_ = Buffer(allocator(test_device()), host_.size(), MemoryTag::activation);
    view_.data = on_device_.data();
  }
  void copy_to(const Device& to, void* target, const Device& from, const void* source) const {
    const Stream stream = current_stream(test_device());
    kernels::transfer(target, to, source, from, host_.size(), stream);
  }
  /// The elements on the host, up to date.
  const std::vector<unsigned char>& current() const {
    if (newer_ == Side::device) {
      copy_to(cpu, host_.data(), test_device(), view_.data);
      newer_ = Side::host;
    }
    return host_;
  }

  static Strides make_strides(const Shape& shape, Layout layout) {
    Strides strides = contiguous_strides(shape);
    switch (layout) {
      case Layout::contiguous: break;
      case Layout::reversed: {
        std::int64_t step = 1;
        for (int i = 0; i < shape.size(); ++i) {
          strides[i] = step;
          step *= std::max<std::int64_t>(shape[i], 1);
        }
        break;
      }
      case Layout::sliced:
        for (std::int64_t& stride : strides) stride *= 2;
        break;
      case Layout::channels_last: return channels_last_strides(shape);
      case Layout::stretched:
        if (!strides.empty()) strides[0] = 0;
        break;
    }
    return strides;
  }

  std::int64_t offset(std::int64_t i) const {
    std::int64_t result = 0;
    for (int dim = view_.ndim() - 1; dim >= 0; --dim) {
      result += i % view_.size(dim) * view_.strides[dim];
      i /= view_.size(dim);
    }
    return result;
  }

  kernels::View view_;
  mutable std::vector<unsigned char> host_;
  mutable Side newer_ = Side::host;
  Buffer on_device_;
};

/// A row-major tensor in the memory of `whole`, from its element number `start` on: not aligned as
/// memory of its own would be.
inline kernels::View window(const kernels::View& whole, std::int64_t start, const Shape& shape) {
  kernels::View view = whole;
  view.data =
      static_cast<char*>(whole.data) + start * static_cast<std::int64_t>(size_of(whole.dtype));
  view.shape = shape;
  view.strides = contiguous_strides(shape);
  return view;
}

/// Lengths around the multiples of a vector, a warp and a block, up to kLongestCount.
inline constexpr std::int64_t kCounts[] = {1,  2,  3,   7,   8,   15,  16,  17,  31, 33,
                                           63, 65, 127, 255, 256, 257, 511, 512, 513};
inline constexpr std::int64_t kLongestCount = 513;

/// More elements than one launch on a GPU has threads: alone, and four to a thread.
inline constexpr std::int64_t kManyElements = 132 * 16 * 256 + 77;
inline constexpr std::int64_t kManyVectors = 132 * 16 * 256 * 4 + 77;

/// Uniform numbers from low..high.
class Draw {
 public:
  Draw(double low, double high) : engine_(test_seed()), distribution_(low, high) {}
  double operator()() { return distribution_(engine_); }

 private:
  std::mt19937 engine_;
  std::uniform_real_distribution<double> distribution_;
};

/// The rounding error that a few operations of `dtype` on numbers of this size may make.
inline double tolerance(DType dtype, double magnitude) {
  const double epsilon = dtype == f64 ? 1e-14 : dtype == f32 ? 4e-6 : 0;
  return epsilon * (1 + std::abs(magnitude));
}

/// Equal up to `tolerance`; NaN equals NaN, infinities equal themselves.
inline bool close(double a, double b, double allowed) {
  return (std::isnan(a) && std::isnan(b)) || a == b || std::abs(a - b) <= allowed;
}

/// `view` from the second element of dimension `dim` on, which begins between 16-byte borders.
inline kernels::View without_first(kernels::View view, int dim) {
  view.data = view.ptr<char>() + view.strides[dim] * static_cast<std::int64_t>(size_of(view.dtype));
  view.shape[dim] -= 1;
  return view;
}

inline std::string describe(const kernels::View& view) {
  return std::string(name(view.dtype)) + to_string(view.shape) + " strides " +
         to_string(view.strides);
}
inline std::string describe(const TestTensor& tensor) {
  return describe(tensor.geometry());
}

}  // namespace minidl::test
