// One row per differentiable operation. The rows drive the forward tests (against `reference`, in
// doubles), the gradient checks (against finite differences) and bench/bench_ops.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/ops/reference.h"

namespace minidl::test {

/// An operand to be filled with numbers.
struct Input {
  enum class Kind {
    real,      ///< distinct numbers between low and high: no ties, none at a kink
    constant,  ///< real, but no gradient flows to it
    labels,    ///< i64 between 0 and high - 1
    mask,      ///< bool, true or false by chance
    none,      ///< an operand that is not given
  };
  Shape shape;
  double low = -2;
  double high = 2;
  Kind kind = Kind::real;
};

/// One call: operands, the operation through the public interface, and what it should give.
struct Sample {
  std::string label;
  std::vector<Input> inputs;
  std::function<Tensor(const Tensors&)> run;
  /// Left empty in samples made for timing.
  std::function<Array(const Arrays&)> reference;
};

/// A source of random shapes and attributes.
class Chooser {
 public:
  explicit Chooser(std::uint64_t seed) : engine_(seed) {}
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  double real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine_);
  }
  bool coin() { return between(0, 1) == 1; }
  /// Extents of 1 to 5; now and then 0.
  Shape shape(int ndim) {
    Shape result;
    for (int i = 0; i < ndim; ++i) result.push_back(between(0, 20) == 0 ? 0 : between(1, 5));
    return result;
  }

 private:
  std::mt19937_64 engine_;
};

struct OpRow {
  std::string name;
  /// Samples to check: edge cases and random ones.
  std::function<std::vector<Sample>(Chooser&)> samples;
  /// One call large enough to time, as in a small network.
  std::function<Sample()> bench;
  bool only_on_cpu = false;  ///< there is no CUDA kernel yet
};

const std::vector<OpRow>& op_table();

// The parts of the table, a file each.
void add_elementwise_rows(std::vector<OpRow>& rows);
void add_choice_rows(std::vector<OpRow>& rows);
void add_shape_rows(std::vector<OpRow>& rows);
void add_rearrange_rows(std::vector<OpRow>& rows);
void add_statistics_rows(std::vector<OpRow>& rows);
void add_reduce_rows(std::vector<OpRow>& rows);
void add_matmul_rows(std::vector<OpRow>& rows);
void add_image_rows(std::vector<OpRow>& rows);
void add_conv_rows(std::vector<OpRow>& rows);
void add_loss_rows(std::vector<OpRow>& rows);
void add_normalization_rows(std::vector<OpRow>& rows);
void add_attention_rows(std::vector<OpRow>& rows);
void add_indexing_rows(std::vector<OpRow>& rows);
void add_upsample_rows(std::vector<OpRow>& rows);

}  // namespace minidl::test
