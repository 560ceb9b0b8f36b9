// Random numbers: a function of seed and order of operations, of nothing else.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/parallel.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

struct Source {
  std::string name;
  std::function<Tensor(const Tensor&)> fill;
};

const std::vector<Source>& sources() {
  static const std::vector<Source> all{
      {"uniform_", [](const Tensor& t) { return t.uniform_(-1, 3); }},
      {"normal_", [](const Tensor& t) { return t.normal_(1, 2); }},
      {"dropout", [](const Tensor& t) { return dropout(t.fill_(1), 0.3); }},
  };
  return all;
}

}  // namespace

TEST_CASE("random: a seed repeats, another one does not", "[random]") {
  for (const Source& source : sources()) {
    INFO(source.name);
    auto draw = [&](std::uint64_t seed) {
      manual_seed(seed);
      return source.fill(zeros({100})).to_vector();
    };
    CHECK(draw(1) == draw(1));
    CHECK(draw(1) != draw(2));
  }
}

TEST_CASE("random: successive operations draw different streams", "[random]") {
  manual_seed(0);
  const Values first = rand({50}).to_vector();
  CHECK(rand({50}).to_vector() != first);
  CHECK(randn({50}).to_vector() != randn({50}).to_vector());
}

TEST_CASE("random: the same elements in every layout", "[random]") {
  const Shape shape{3, 5, 4, 7};
  const std::vector<std::pair<std::string, Tensor>> layouts{
      {"channels last", empty_strided(shape, channels_last_strides(shape))},
      {"transposed", empty({7, 5, 4, 3}).transpose(0, 3)},
      {"sliced", empty({3, 5, 4, 14}).slice(3, 0, 14, 2)},
      {"a part", empty({5, 5, 4, 7}).slice(0, 1, 4)}};
  for (const Source& source : sources()) {
    manual_seed(7);
    const Values expected = source.fill(empty(shape)).to_vector();
    for (const auto& entry : layouts) {
      INFO(source.name << ", " << entry.first);
      manual_seed(7);
      CHECK(source.fill(entry.second).to_vector() == expected);
    }
  }
}

TEST_CASE("random: the same elements on any number of threads", "[random][cpu]") {
  const int before = kernels::max_threads();
  for (const Source& source : sources()) {
    std::vector<Values> results;
    for (const int threads : {1, 2, 3, 5}) {
      kernels::set_num_threads(threads);
      manual_seed(3);
      results.push_back(source.fill(empty({70'001})).to_vector());
    }
    kernels::set_num_threads(before);
    INFO(source.name);
    for (const Values& result : results) CHECK(result == results.front());
  }
}

TEST_CASE("random: a longer tensor begins with the same numbers", "[random]") {
  manual_seed(5);
  const Values whole = rand({41}).to_vector();
  manual_seed(5);
  CHECK(rand({13}).to_vector() == Values(whole.begin(), whole.begin() + 13));
}

TEST_CASE("random: the generator's state can be kept and restored", "[random]") {
  manual_seed(11);
  rand({3});
  const Generator::State state = default_generator().state();
  CHECK(state == Generator::State{.seed = 11, .next_stream = 1});
  const Values expected = randn({9}).to_vector();
  default_generator().set_state(state);
  CHECK(randn({9}).to_vector() == expected);
}

TEST_CASE("random: generators count streams of their own", "[random]") {
  Generator a(5);
  CHECK(a.next().stream == 0);
  CHECK(a.next().stream == 1);
  CHECK(a.next().seed == 5);
  CHECK(a.state() == Generator::State{.seed = 5, .next_stream = 3});
  Generator b(5);
  b.set_state(a.state());
  CHECK(b.next().stream == 3);
}

TEST_CASE("random: uniform numbers stay in their range and fill it", "[random]") {
  manual_seed(1);
  const Tensor t = empty({20'000}, {.dtype = f64}).uniform_(-2, 3);
  CHECK(t.amin().item() >= -2);
  CHECK(t.amax().item() < 3);
  CHECK(t.mean().item() == Approx(0.5).margin(0.05));
  CHECK(rand({20'000}).amax().item() < 1);
}

TEST_CASE("random: normal numbers have the mean and deviation asked for", "[random]") {
  manual_seed(1);
  const Tensor t = empty({20'000}, {.dtype = f64}).normal_(3, 2);
  const Tensor centred = t - t.mean();
  CHECK(t.mean().item() == Approx(3).margin(0.06));
  CHECK(std::sqrt((centred * centred).mean().item()) == Approx(2).margin(0.05));
}

TEST_CASE("random: dropout's backward drops the same elements", "[random]") {
  manual_seed(2);
  const Tensor x = ones({1000}, {.requires_grad = true});
  const Tensor y = dropout(x, 0.25);
  rand({5});  // another stream in between must not matter
  y.sum().backward();
  CHECK(x.grad().to_vector() == y.to_vector());
  const double kept = (y == 0).sum().item() / 1000;
  CHECK(kept == Approx(0.25).margin(0.06));
  CHECK(y.amax().item() == Approx(1 / 0.75));
}

TEST_CASE("random: dropout outside training draws nothing", "[random]") {
  manual_seed(2);
  const Tensor x = ones({3});
  CHECK(dropout(x, 0.5, false).is_same(x));
  CHECK(dropout(x, 0).is_same(x));
  CHECK(default_generator().state().next_stream == 0);
  CHECK(dropout(x, 1).to_vector() == Values{0, 0, 0});
}
