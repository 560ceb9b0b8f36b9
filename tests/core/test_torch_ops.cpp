// Beside PyTorch: results and gradients of many operations, with awkward arguments, equal those
// that tests/fixtures/torch_ops.py has written down.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "minidl/core/serialization/safetensors.h"
#include "tests/catch.h"
#include "tests/core/torch_rows.h"

using namespace minidl;
using namespace minidl::test;

namespace {

const char* const kFixture = MINIDL_SOURCE_DIR "/tests/fixtures/torch_ops.safetensors";

/// The tensors of a case by their names: "in0", "out0", "weight0", "grad0", …
using Case = std::map<std::string, Tensor>;

const std::map<std::string, Case>& cases() {
  static const std::map<std::string, Case> all = [] {
    std::map<std::string, Case> result;
    for (const auto& entry : load_safetensors(kFixture).tensors) {
      const std::size_t slash = entry.name.rfind('/');
      result[entry.name.substr(0, slash)][entry.name.substr(slash + 1)] = entry.tensor;
    }
    return result;
  }();
  return all;
}

const std::vector<TorchRow>& torch_rows() {
  static const std::vector<TorchRow> rows = [] {
    std::vector<TorchRow> all;
    add_torch_elementwise(all);
    add_torch_reductions(all);
    add_torch_shapes(all);
    add_torch_indexing(all);
    add_torch_products(all);
    add_torch_convolutions(all);
    add_torch_normalizations(all);
    add_torch_losses(all);
    return all;
  }();
  return rows;
}

std::string key(const char* what, std::size_t i) {
  return what + std::to_string(i);
}

/// The largest distance, relative where the numbers are above 1.
double distance(const Tensor& actual, const Tensor& expected) {
  const std::vector<double> a = actual.to_vector();
  const std::vector<double> b = expected.to_vector();
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double error = std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i]));
    largest = std::isnan(error) ? INFINITY : std::max(largest, error);
  }
  return largest;
}

void check_equal(const std::string& what, const Tensor& actual, const Tensor& expected,
                 double tolerance) {
  INFO(what << ": " << actual << " where PyTorch has " << expected);
  CHECK(actual.dtype() == expected.dtype());
  REQUIRE(actual.shape() == expected.shape());
  CHECK(distance(actual, expected) < tolerance);
}

}  // namespace

TEST_CASE("torch: every case has a row, and every row a case", "[torch][cpu]") {
  std::set<std::string> names;
  for (const TorchRow& row : torch_rows()) {
    INFO(row.name);
    CHECK(names.insert(row.name).second);
    CHECK(cases().count(row.name) == 1);
  }
  for (const auto& [name, unused] : cases()) {
    INFO(name);
    CHECK(names.count(name) == 1);
  }
  CHECK(names.size() >= 140);
}

TEST_CASE("torch: results and gradients are PyTorch's", "[torch][cpu]") {
  for (const TorchRow& row : torch_rows()) {
    INFO(row.name);
    const Case& expected = cases().at(row.name);
    Tensors inputs;
    for (std::size_t i = 0; expected.count(key("in", i)) > 0; ++i) {
      inputs.push_back(expected.at(key("in", i)).clone());
      if (expected.count(key("grad", i)) > 0) inputs.back().set_requires_grad();
    }
    const Tensors results = row.run(inputs);
    REQUIRE(expected.count(key("out", results.size() - 1)) == 1);
    REQUIRE(expected.count(key("out", results.size())) == 0);
    Tensor total;
    for (std::size_t i = 0; i < results.size(); ++i) {
      check_equal(key("result ", i), results[i].detach(), expected.at(key("out", i)),
                  row.tolerance);
      const auto weight = expected.find(key("weight", i));
      if (weight == expected.end()) continue;
      const Tensor sum = results[i].mul(weight->second).sum();
      total = total.defined() ? total.add(sum) : sum;
    }
    if (!total.defined()) continue;
    if (total.requires_grad()) total.backward();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].requires_grad()) continue;
      const Tensor grad = inputs[i].grad();
      check_equal(key("gradient of operand ", i), grad.defined() ? grad : zeros_like(inputs[i]),
                  expected.at(key("grad", i)), row.tolerance);
    }
  }
}
