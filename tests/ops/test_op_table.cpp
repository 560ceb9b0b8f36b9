// Every row of the op table: forward against the reference, gradients against finite differences,
// f32 against f64, in every layout.

#include <cmath>

#include "minidl/core/ops/elementwise.h"
#include "tests/catch.h"
#include "tests/default_device.h"
#include "tests/ops/materialize.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::test;

namespace {

struct Operands {
  std::vector<std::vector<double>> values;
  Tensors tensors;
};

Operands make_operands(const Sample& sample, DType dtype, OperandLayout layout, Chooser& choose) {
  Operands operands;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    operands.values.push_back(draw_values(sample.inputs[i], static_cast<int>(i), choose));
    operands.tensors.push_back(
        make_operand(sample.inputs[i], operands.values.back(), dtype, layout));
  }
  return operands;
}

Array expected_output(const Sample& sample, const Operands& operands) {
  Arrays arrays;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    Array array;
    array.shape = sample.inputs[i].shape;
    array.values = operands.values[i];
    arrays.push_back(array);
  }
  return sample.reference(arrays);
}

/// Largest distance from the expected values, relative where they are above 1.
double error_of(const std::vector<double>& actual, const std::vector<double>& expected) {
  if (actual.size() != expected.size()) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i] - expected[i]) / std::max(1.0, std::abs(expected[i]));
    largest = std::isnan(error) ? INFINITY : std::max(largest, error);
  }
  return largest;
}

template <class Check>
void for_each_sample(const Check& check) {
  for (const OpRow& row : op_table()) {
    if (row.only_on_cpu && !default_device().is_cpu()) continue;
    Chooser choose(test_seed());
    for (const Sample& sample : row.samples(choose)) {
      for (const OperandLayout layout : kOperandLayouts) {
        INFO("MINIDL_TEST_SEED=" << test_seed() << ": " << row.name << " " << sample.label << ", "
                                 << name(layout));
        check(sample, layout, choose);
      }
    }
  }
}

/// sum(output * weights): a scalar whose gradient with respect to the output is `weights`.
double weighted_sum(const Tensor& output, const std::vector<double>& weights) {
  const std::vector<double> values = output.to_vector();
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += values[i] * weights[i];
  return sum;
}

std::vector<double> random_weights(std::int64_t count, Chooser& choose) {
  std::vector<double> weights(static_cast<std::size_t>(count));
  for (double& weight : weights) weight = choose.real(-1, 1);
  return weights;
}

/// Runs forward and backward; the gradients of all real operands, one after the other.
std::vector<double> gradients(const Sample& sample, const Tensors& operands,
                              const std::vector<double>& weights) {
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (sample.inputs[i].kind == Input::Kind::real) operands[i].set_requires_grad();
  }
  const Tensor output = sample.run(operands);
  if (output.requires_grad()) {
    output.backward(tensor(weights, output.shape(), {.dtype = output.dtype()}));
  }
  std::vector<double> result;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (sample.inputs[i].kind != Input::Kind::real) continue;
    const Tensor grad = operands[i].grad();
    const std::vector<double> values =
        grad.defined() ? grad.to_vector()
                       : std::vector<double>(static_cast<std::size_t>(operands[i].numel()));
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

/// Central differences of the weighted sum with respect to every element of every real operand. On
/// the CPU, whichever device is tested: two calls per element would take too long on an emulated
/// one.
std::vector<double> finite_differences(const Sample& sample, const Operands& operands,
                                       OperandLayout layout, const std::vector<double>& weights) {
  constexpr double kStep = 1e-6;
  const DefaultDeviceGuard on_cpu(cpu);
  Tensors unmoved;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    unmoved.push_back(make_operand(sample.inputs[i], operands.values[i], f64, layout));
  }
  std::vector<double> result;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    if (sample.inputs[i].kind != Input::Kind::real) continue;
    for (std::size_t element = 0; element < operands.values[i].size(); ++element) {
      double side[2];
      for (int sign = 0; sign < 2; ++sign) {
        std::vector<double> moved = operands.values[i];
        moved[element] += sign == 0 ? -kStep : kStep;
        Tensors tensors = unmoved;
        tensors[i] = make_operand(sample.inputs[i], moved, f64, layout);
        side[sign] = weighted_sum(sample.run(tensors), weights);
      }
      result.push_back((side[1] - side[0]) / (2 * kStep));
    }
  }
  return result;
}

/// The same numbers as leaves of another dtype.
Tensors converted(const Tensors& operands, DType dtype) {
  Tensors result;
  for (const Tensor& operand : operands) {
    const bool real = operand.defined() && is_floating_point(operand.dtype());
    result.push_back(real ? operand.detach().to(dtype) : operand);
  }
  return result;
}

/// Several roundings of numbers that may cancel; index_add rounds after each of a dozen.
double tolerance_of(DType dtype) {
  return dtype == bf16 ? 0.15 : 0.02;
}

}  // namespace

TEST_CASE("ops: forward equals the float64 reference", "[ops]") {
  for (const DType dtype : {f64, f32}) {
    for_each_sample([&](const Sample& sample, OperandLayout layout, Chooser& choose) {
      const Operands operands = make_operands(sample, dtype, layout, choose);
      const Array expected = expected_output(sample, operands);
      const Tensor output = sample.run(operands.tensors);
      CAPTURE(minidl::name(dtype));
      CHECK(output.shape() == expected.shape);
      CHECK(output.dtype() == dtype);
      CHECK(error_of(output.to_vector(), expected.values) < (dtype == f64 ? 1e-11 : 2e-5));
    });
  }
}

TEST_CASE("ops: 16-bit operands give the rounded result of their values", "[ops][16-bit]") {
  for (const DType dtype : {bf16, f16}) {
    for_each_sample([&](const Sample& sample, OperandLayout layout, Chooser& choose) {
      const Operands operands = make_operands(sample, dtype, layout, choose);
      const Tensor output = sample.run(operands.tensors);
      const Tensor wide = sample.run(converted(operands.tensors, f64));
      CAPTURE(minidl::name(dtype));
      CHECK(output.shape() == wide.shape());
      CHECK(output.dtype() == dtype);
      CHECK(error_of(output.to_vector(), wide.to_vector()) < tolerance_of(dtype));
    });
  }
}

TEST_CASE("ops: 16-bit gradients are those of f64, rounded", "[ops][16-bit]") {
  for (const DType dtype : {bf16, f16}) {
    for_each_sample([&](const Sample& sample, OperandLayout layout, Chooser& choose) {
      const Operands operands = make_operands(sample, dtype, layout, choose);
      const Tensors wide = converted(operands.tensors, f64);
      const std::vector<double> weights = random_weights(sample.run(wide).numel(), choose);
      CAPTURE(minidl::name(dtype));
      const std::vector<double> expected = gradients(sample, wide, weights);
      CHECK(error_of(gradients(sample, operands.tensors, weights), expected) <
            2 * tolerance_of(dtype));
    });
  }
}

TEST_CASE("ops: those that only the CPU has say so elsewhere", "[ops]") {
  if (default_device().is_cpu()) return;
  for (const OpRow& row : op_table()) {
    if (!row.only_on_cpu) continue;
    Chooser choose(test_seed());
    const Sample sample = row.samples(choose).front();
    INFO("MINIDL_TEST_SEED=" << test_seed() << ": " << row.name << " " << sample.label);
    const Operands operands = make_operands(sample, f64, kOperandLayouts[0], choose);
    CHECK_THROWS_WITH(sample.run(operands.tensors), Contains("only the CPU has this operation"));
  }
}

TEST_CASE("ops: gradients equal finite differences", "[ops]") {
  for_each_sample([&](const Sample& sample, OperandLayout layout, Chooser& choose) {
    const Operands operands = make_operands(sample, f64, layout, choose);
    const std::vector<double> weights =
        random_weights(sample.run(operands.tensors).numel(), choose);
    const std::vector<double> actual = gradients(sample, operands.tensors, weights);
    const std::vector<double> expected = finite_differences(sample, operands, layout, weights);
    CHECK(error_of(actual, expected) < 1e-6);
  });
}

TEST_CASE("ops: f32 gradients equal those in f64", "[ops]") {
  for_each_sample([&](const Sample& sample, OperandLayout layout, Chooser& choose) {
    const Operands wide = make_operands(sample, f64, layout, choose);
    Tensors narrow;
    for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
      narrow.push_back(make_operand(sample.inputs[i], wide.values[i], f32, layout));
    }
    const std::vector<double> weights = random_weights(sample.run(wide.tensors).numel(), choose);
    CHECK(error_of(gradients(sample, narrow, weights), gradients(sample, wide.tensors, weights)) <
          5e-4);
  });
}

TEST_CASE("ops: gradients take the layout of a dense operand", "[ops]") {
  for_each_sample([&](const Sample& sample, OperandLayout layout, Chooser& choose) {
    const Operands operands = make_operands(sample, f64, layout, choose);
    const std::vector<double> weights =
        random_weights(sample.run(operands.tensors).numel(), choose);
    gradients(sample, operands.tensors, weights);
    for (const Tensor& operand : operands.tensors) {
      if (!operand.defined() || !operand.grad().defined()) continue;
      CHECK(operand.grad().strides() == strides_like(operand.shape(), operand.strides()));
    }
  });
}

TEST_CASE("ops: fake operands give the geometry of the real result", "[ops][fake]") {
  for_each_sample([&](const Sample& sample, OperandLayout layout, Chooser& choose) {
    const Operands real = make_operands(sample, f64, layout, choose);
    Tensors fakes;
    for (const Tensor& operand : real.tensors) {
      fakes.push_back(operand.defined() ? fake_strided(operand.shape(), operand.strides(),
                                                       {.dtype = operand.dtype()})
                                        : Tensor());
    }
    Tensors mixed = real.tensors;
    mixed[0] = fakes[0];
    const Tensor expected = sample.run(real.tensors);
    const std::int64_t allocations = memory_stats(default_device()).allocations;
    const Tensor from_fakes = sample.run(fakes);
    CHECK(memory_stats(default_device()).allocations == allocations);
    for (const Tensor& output : {from_fakes, sample.run(mixed)}) {
      CHECK(output.is_fake());
      CHECK(output.shape() == expected.shape());
      CHECK(output.strides() == expected.strides());
      CHECK(output.dtype() == expected.dtype());
    }
  });
}
