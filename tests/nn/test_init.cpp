// Initialisers: fans, bounds and moments.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/nn/init.h"
#include "tests/catch.h"

using namespace minidl;
using namespace minidl::nn;

TEST_CASE("init: fans of linear and convolution weights", "[init]") {
  struct Row {
    Shape shape;
    std::int64_t in, out;
  };
  for (const Row& row :
       {Row{{4, 7}, 7, 4}, Row{{8, 3, 5, 2}, 30, 80}, Row{{4, 2, 3}, 6, 12}, Row{{0, 3}, 3, 0}}) {
    CAPTURE(to_string(row.shape));
    const init::Fans fans = init::fans(zeros(row.shape));
    CHECK(fans.in == row.in);
    CHECK(fans.out == row.out);
  }
  CHECK_THROWS_WITH(init::fans(zeros({3})), Contains("[3]"));
  CHECK_THROWS_WITH(init::kaiming_normal_(scalar(1)), Contains("two dimensions"));
}

TEST_CASE("init: bounds and deviations", "[init]") {
  struct Row {
    std::string label;
    std::function<void(const Tensor&)> fill;
    double deviation;
    bool uniform;
  };
  // A weight [40, 20, 3, 5]: fan_in 300, fan_out 600.
  const std::vector<Row> rows{
      {"kaiming_uniform_", [](const Tensor& w) { init::kaiming_uniform_(w); }, std::sqrt(2.0 / 300),
       true},
      {"kaiming_uniform_ with a slope",
       [](const Tensor& w) { init::kaiming_uniform_(w, std::sqrt(5)); }, std::sqrt(2.0 / (6 * 300)),
       true},
      {"kaiming_normal_", [](const Tensor& w) { init::kaiming_normal_(w); }, std::sqrt(2.0 / 300),
       false},
      {"kaiming_normal_ by fan_out", [](const Tensor& w) { init::kaiming_normal_(w, true); },
       std::sqrt(2.0 / 600), false},
      {"xavier_uniform_", [](const Tensor& w) { init::xavier_uniform_(w, 3); },
       3 * std::sqrt(2.0 / 900), true},
      {"xavier_normal_", [](const Tensor& w) { init::xavier_normal_(w, 3); },
       3 * std::sqrt(2.0 / 900), false},
  };
  manual_seed(0);
  for (const Row& row : rows) {
    INFO(row.label);
    const Tensor weight = empty({40, 20, 3, 5}, {.dtype = f64, .requires_grad = true});
    row.fill(weight);
    CHECK(weight.is_leaf());
    const Tensor w = weight.detach();
    const double deviation = std::sqrt((w * w).mean().item());
    CHECK(deviation == Approx(row.deviation).epsilon(0.03));
    CHECK(std::abs(w.mean().item()) < 0.05 * row.deviation);
    const double largest = abs(w).amax().item();
    const double bound = std::sqrt(3) * row.deviation;  // of a uniform distribution
    CHECK((largest <= bound) == row.uniform);
    if (row.uniform) CHECK(largest > 0.99 * bound);
  }
}

TEST_CASE("init: the tensor itself is returned and reproducible", "[init]") {
  const Tensor weight = empty({5, 5});
  manual_seed(3);
  CHECK(init::xavier_normal_(weight).is_same(weight));
  const std::vector<double> first = weight.to_vector();
  manual_seed(3);
  CHECK(init::xavier_normal_(weight).to_vector() == first);
}
