// The contract: under DetectAnomaly the first NaN throws where it appears, in forward and in
// backward, and says which operation, module and element; elsewhere nothing changes.

#include <cmath>
#include <limits>

#include "minidl/core/anomaly.h"
#include "minidl/core/module_path.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"

using namespace minidl;

TEST_CASE("anomaly: the operation that makes the first NaN throws", "[anomaly]") {
  const Tensor x = tensor({4, -1, 9, 16}, {2, 2});
  CHECK_NOTHROW(sqrt(x));
  const DetectAnomaly detect;
  CHECK(detecting_anomalies());
  CHECK_NOTHROW(sqrt(abs(x)));
  CHECK_THROWS_WITH(
      sqrt(x), Contains("sqrt: element [0, 1] of its result") && Contains("no operand has one"));
}

TEST_CASE("anomaly: a NaN that was there before is told apart", "[anomaly]") {
  const Tensor x = ones({3});
  const Tensor bad = tensor({1, 2, std::nan("")}, {3});
  const DetectAnomaly detect;
  CHECK_THROWS_WITH(x + bad, Contains("add: element [2]") && Contains("operand 1 has one already"));
}

TEST_CASE("anomaly: infinities, integers, fakes and empty tensors pass", "[anomaly]") {
  const DetectAnomaly detect;
  CHECK_NOTHROW(log(zeros({2})));
  CHECK_NOTHROW(neg(arange(4)));
  CHECK_NOTHROW(sqrt(fake({2, 2})));
  CHECK_NOTHROW(sqrt(zeros({0, 3})));
}

TEST_CASE("anomaly: a gradient's NaN names the forward operation and its module", "[anomaly]") {
  const Tensor x = zeros({2}, {.requires_grad = true});
  const std::string name = "block";
  Tensor loss;
  const DetectAnomaly detect;
  {
    const ModulePathScope path(name);
    loss = (sqrt(x) * 0.0).sum();  // 0 * the slope of sqrt at 0, which is infinite
  }
  CHECK_THROWS_WITH(loss.backward(), Contains("backward of sqrt") &&
                                         Contains("of module 'block'") &&
                                         Contains("gradient of its operand 0") &&
                                         Contains("the gradients of its results have none"));
}

TEST_CASE("anomaly: guards nest", "[anomaly]") {
  const Tensor x = tensor({-1}, {1});
  const DetectAnomaly on;
  {
    const DetectAnomaly off(false);
    CHECK_NOTHROW(sqrt(x));
  }
  CHECK_THROWS_AS(sqrt(x), Error);
}

TEST_CASE("module path: names of nested scopes with dots between", "[anomaly]") {
  CHECK(current_module_path().empty());
  const std::string outer = "layer1";
  const std::string none;
  const std::string inner = "conv";
  const ModulePathScope first(outer);
  const ModulePathScope second(none);
  {
    const ModulePathScope third(inner);
    CHECK(current_module_path() == "layer1.conv");
  }
  CHECK(current_module_path() == "layer1");
}
