// Loss and accuracy over batches.

#include <cmath>
#include <vector>

#include "minidl/nn/train/meter.h"
#include "tests/catch.h"

using namespace minidl;
using minidl::train::Meter;
using minidl::train::MeterResult;

namespace {

Tensor labels(const std::vector<double>& values) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, {.dtype = i64});
}

// Logits that answer as told.
Tensor answers(const std::vector<double>& classes) {
  std::vector<double> logits(3 * classes.size());
  for (std::size_t i = 0; i < classes.size(); ++i) {
    logits[3 * i + static_cast<std::size_t>(classes[i])] = 1;
  }
  return tensor(logits, {static_cast<std::int64_t>(classes.size()), 3});
}

// As if three more ranks had seen the same.
class FourTimes final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 4; }

 private:
  WorkPtr start_all_reduce(const Tensor& tensor, Reduction, const std::string&) override {
    tensor.mul_(4);
    return SingleProcess().all_reduce(tensor);
  }
  WorkPtr start_broadcast(const Tensor&, int, const std::string&) override { return nullptr; }
  WorkPtr start_all_gather(const Tensor&, const Tensor&, const std::string&) override {
    return nullptr;
  }
  WorkPtr start_reduce_scatter(const Tensor&, const Tensor&, Reduction,
                               const std::string&) override {
    return nullptr;
  }
};

}  // namespace

TEST_CASE("meter: weighs batches by their samples", "[meter]") {
  Meter meter;
  meter.update(scalar(1), answers({0, 1, 2}), labels({0, 1, 0}));
  meter.update(scalar(5), answers({2}), labels({2}));
  const MeterResult result = meter.result();
  CHECK(result.loss == Approx(2));
  CHECK(result.accuracy == Approx(0.75));
  CHECK(result.samples == 4);
}

TEST_CASE("meter: reading the result does not end it", "[meter]") {
  Meter meter;
  CHECK(meter.result().samples == 0);
  CHECK(meter.result().loss == 0);
  CHECK(meter.result().accuracy == 0);
  meter.update(scalar(2), answers({0}), labels({0}));
  CHECK(meter.result().samples == 1);
  CHECK(meter.result().samples == 1);
  meter.update(scalar(4), answers({0}), labels({1}));
  CHECK(meter.result().loss == 3);
}

TEST_CASE("meter: an empty batch counts for nothing", "[meter]") {
  Meter meter;
  meter.update(scalar(1), answers({0}), labels({0}));
  meter.update(scalar(NAN), zeros({0, 3}), labels({}));
  CHECK(meter.result().loss == 1);
  CHECK(meter.result().samples == 1);
}

TEST_CASE("meter: keeps no graph alive", "[meter]") {
  const Tensor x = ones({1}, {.requires_grad = true});
  const Tensor loss = x.sum();
  const long handles = loss.grad_fn().use_count();
  Meter meter;
  meter.update(loss, answers({0}), labels({0}));
  CHECK(loss.grad_fn().use_count() == handles);
}

TEST_CASE("meter: a loss that is not finite is reported one batch late at most", "[meter]") {
  for (const double loss : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    Meter meter;
    meter.update(scalar(1), answers({0, 1}), labels({0, 0}));
    CHECK_NOTHROW(meter.update(scalar(loss), answers({0}), labels({0})));
    CHECK_THROWS_WITH(meter.update(scalar(1), answers({0}), labels({0})),
                      Contains("after 2 samples") && Contains("diverged"));
    CHECK_THROWS_WITH(meter.result(), Contains("diverged"));
  }
}

TEST_CASE("meter: all ranks together", "[meter]") {
  Meter meter;
  meter.update(scalar(3), answers({0, 0}), labels({0, 1}));
  FourTimes world;
  const MeterResult result = meter.result(world);
  CHECK(result.samples == 8);
  CHECK(result.loss == Approx(3));
  CHECK(result.accuracy == Approx(0.5));
  SingleProcess alone;
  CHECK(meter.result(alone).samples == 2);
}
