// Saved states: a training that was interrupted goes on to the same bits.

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "minidl/core/factories.h"
#include "minidl/core/random.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/adam.h"
#include "minidl/nn/optim/lamb.h"
#include "minidl/nn/optim/lars.h"
#include "minidl/nn/optim/lion.h"
#include "minidl/nn/optim/sgd.h"
#include "minidl/nn/serialization.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/folder.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::optim;
using Values = std::vector<double>;

namespace {

constexpr int kSteps = 4;

// Two groups, of a linear layer's parameters and of a channels-last kernel's and one that never
// gets a gradient.
struct Parameters {
  Tensor weight = randn({3, 5}).set_requires_grad();
  Tensor bias = randn({3}).set_requires_grad();
  Tensor kernel = randn({4, 2, 3, 3}).channels_last().detach().set_requires_grad();
  Tensor idle = randn({7}).set_requires_grad();

  Tensors trained() const { return {weight, bias, kernel}; }
};

void copy(const Parameters& from, const Parameters& to) {
  to.weight.detach().copy_(from.weight.detach());
  to.bias.detach().copy_(from.bias.detach());
  to.kernel.detach().copy_(from.kernel.detach());
}

void set_gradients(const Parameters& parameters, int step) {
  manual_seed(minidl::test::test_seed() + static_cast<std::uint64_t>(step));
  for (const Tensor& parameter : parameters.trained()) parameter.set_grad(randn_like(parameter));
}

void expect_equal_bits(const Parameters& actual, const Parameters& expected) {
  for (std::size_t i = 0; i < expected.trained().size(); ++i) {
    CAPTURE(i);
    CHECK(actual.trained()[i].to_vector() == expected.trained()[i].to_vector());
  }
}

using OptimizerPtr = std::unique_ptr<Optimizer>;

// `fresh` has the defaults, so that all others must come from the state.
struct Kind {
  std::string name;
  std::function<OptimizerPtr(const Parameters&, bool fresh)> make;
};

template <class O, class Options>
Kind kind(const std::string& name, const Options& first, const Options& second) {
  return {name, [first, second](const Parameters& p, bool fresh) -> OptimizerPtr {
            auto optimizer =
                std::make_unique<O>(ParameterList{p.weight, p.bias}, fresh ? Options{} : first);
            optimizer->add_group(StateDict{{"conv.weight", p.kernel}, {"idle", p.idle}},
                                 fresh ? Options{} : second);
            return optimizer;
          }};
}

std::vector<Kind> kinds() {
  return {kind<SGD>("SGD",
                    SGDOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true},
                    SGDOptions{.lr = 0.2, .momentum = 0.5, .dampening = 0.3}),
          kind<SGD>("SGD", SGDOptions{.lr = 0.1}, SGDOptions{.lr = 0.2, .momentum = 0.9}),
          kind<Adam>("Adam", AdamOptions{.lr = 0.1, .beta1 = 0.8, .weight_decay = 0.1},
                     AdamOptions{.lr = 0.05, .beta2 = 0.9, .eps = 1e-4}),
          kind<AdamW>("AdamW", AdamWOptions{.lr = 0.1, .beta1 = 0.8},
                      AdamWOptions{.lr = 0.05, .beta2 = 0.9, .eps = 1e-4, .weight_decay = 0.2}),
          kind<Lion>("Lion", LionOptions{.lr = 0.1, .beta1 = 0.8},
                     LionOptions{.lr = 0.05, .beta2 = 0.9, .weight_decay = 0.2}),
          kind<LARS>("LARS", LARSOptions{.lr = 0.1, .weight_decay = 0.1, .trust_coefficient = 0.1},
                     LARSOptions{.lr = 0.05, .momentum = 0.5, .eps = 1e-4, .adapt = false}),
          kind<LAMB>("LAMB", LAMBOptions{.lr = 0.1, .beta1 = 0.8, .weight_decay = 0.1},
                     LAMBOptions{.lr = 0.05, .beta2 = 0.9, .eps = 1e-4, .adapt = false})};
}

// Of the schedule that all of these trainings have.
Schedule schedule() {
  return exponential_schedule(0.8);
}

// The state without, or with another, entry.
StateDict without(const StateDict& state, const std::string& name) {
  StateDict rest;
  for (const NamedTensor& entry : state) {
    if (entry.name != name) rest.push_back(entry);
  }
  REQUIRE(rest.size() == state.size() - 1);
  return rest;
}

StateDict with(const StateDict& state, const std::string& name, const Tensor& tensor) {
  StateDict changed = without(state, name);
  changed.push_back({name, tensor});
  return changed;
}

}  // namespace

TEST_CASE("optimizer state: training goes on from a file to the bit", "[optim]") {
  INFO("MINIDL_TEST_SEED=" << minidl::test::test_seed());
  const minidl::test::Folder folder;
  const std::string optimizer_file = folder / "optimizer.safetensors";
  const std::string scheduler_file = folder / "scheduler.safetensors";
  for (const Kind& row : kinds()) {
    INFO(row.name);
    manual_seed(minidl::test::test_seed());
    const Parameters whole;
    const Parameters resumed;
    const OptimizerPtr optimizer = row.make(whole, false);
    Scheduler scheduler(*optimizer, schedule());
    CHECK(optimizer->name() == row.name);
    const auto train = [](const Parameters& p, Optimizer& o, Scheduler& s, int from, int to) {
      for (int step = from; step < to; ++step) {
        set_gradients(p, step);
        o.step();
        s.step();
      }
    };
    train(whole, *optimizer, scheduler, 0, kSteps);
    save(*optimizer, optimizer_file);
    save(scheduler, scheduler_file);
    copy(whole, resumed);
    train(whole, *optimizer, scheduler, kSteps, 2 * kSteps);

    const OptimizerPtr fresh = row.make(resumed, true);
    Scheduler again(*fresh, schedule());
    load(*fresh, optimizer_file);
    load(again, scheduler_file);
    train(resumed, *fresh, again, kSteps, 2 * kSteps);
    expect_equal_bits(resumed, whole);
    CHECK(fresh->lr() == optimizer->lr());
    CHECK_FALSE(resumed.idle.grad().defined());
  }
}

TEST_CASE("optimizer state: holds options, moments and steps under their names", "[optim]") {
  const Parameters p;
  const Kind row = kinds().at(3);
  const OptimizerPtr optimizer = row.make(p, false);
  set_gradients(p, 0);
  optimizer->step();
  std::vector<std::string> names;
  for (const NamedTensor& entry : optimizer->state_dict()) names.push_back(entry.name);
  CHECK(names == std::vector<std::string>{"AdamW.lr_factor",
                                          "AdamW.param_groups",
                                          "AdamW.param_groups.0.parameters",
                                          "AdamW.param_groups.0.lr",
                                          "AdamW.param_groups.0.beta1",
                                          "AdamW.param_groups.0.beta2",
                                          "AdamW.param_groups.0.eps",
                                          "AdamW.param_groups.0.weight_decay",
                                          "AdamW.state.0.exp_avg",
                                          "AdamW.state.0.exp_avg_sq",
                                          "AdamW.state.0.step",
                                          "AdamW.state.1.exp_avg",
                                          "AdamW.state.1.exp_avg_sq",
                                          "AdamW.state.1.step",
                                          "AdamW.param_groups.1.parameters",
                                          "AdamW.param_groups.1.lr",
                                          "AdamW.param_groups.1.beta1",
                                          "AdamW.param_groups.1.beta2",
                                          "AdamW.param_groups.1.eps",
                                          "AdamW.param_groups.1.weight_decay",
                                          "AdamW.state.conv.weight.exp_avg",
                                          "AdamW.state.conv.weight.exp_avg_sq",
                                          "AdamW.state.conv.weight.step"});
}

TEST_CASE("optimizer state: parameters with names may come in another order", "[optim]") {
  const nn::Linear net({.in = 3, .out = 3});
  const nn::Linear other({.in = 3, .out = 3});
  SGD sgd(net.named_parameters(), {.lr = 0.1, .momentum = 0.9});
  net.weight.set_grad(randn({3, 3}));
  net.bias.set_grad(randn({3}));
  sgd.step();
  StateDict turned = other.named_parameters();
  std::swap(turned.at(0), turned.at(1));
  SGD second(turned, {.lr = 0.1});
  second.load_state_dict(sgd.state_dict());
  const auto buffer_of = [](const Optimizer& optimizer, const std::string& name) {
    for (const NamedTensor& entry : optimizer.state_dict()) {
      if (entry.name == "SGD.state." + name + ".momentum_buffer") return entry.tensor.to_vector();
    }
    return Values{};
  };
  CHECK(buffer_of(second, "weight") == net.weight.grad().to_vector());
  CHECK(buffer_of(second, "bias") == net.bias.grad().to_vector());
}

TEST_CASE("optimizer state: is converted to the parameters' dtype and layout", "[optim]") {
  const Parameters p;
  const Tensor wide = p.kernel.detach().to(f64).contiguous().set_requires_grad();
  Lion lion({p.kernel}, {});
  set_gradients(p, 0);
  lion.step();
  Lion second({wide}, {});
  second.load_state_dict(lion.state_dict());
  const auto moment = [](const Optimizer& optimizer) {
    return optimizer.state_dict().back().tensor;
  };
  CHECK(moment(second).dtype() == f64);
  CHECK(moment(second).strides() == wide.strides());
  CHECK(moment(second).to_vector() == moment(lion).to_vector());
  CHECK(moment(lion).strides() == p.kernel.strides());
}

TEST_CASE("optimizer state: what does not fit is named, and nothing changes", "[optim]") {
  const Parameters p;
  const OptimizerPtr optimizer = kinds().at(3).make(p, false);
  set_gradients(p, 0);
  optimizer->step();
  const StateDict good = optimizer->state_dict();
  const Tensor number = scalar(2, {.dtype = f64, .device = cpu});
  const auto adam = [&] { return Adam({p.weight, p.bias}, {}); };
  const auto with_groups = [&](const ParameterList& first, const ParameterList& second) {
    auto made = std::make_unique<AdamW>(first, AdamWOptions{});
    made->add_group(second, {});
    return made;
  };
  struct Row {
    std::function<void()> run;
    std::string text;
  };
  const auto load_into = [&](const StateDict& state) {
    return [&, state] { optimizer->load_state_dict(state); };
  };
  const std::vector<Row> rows{
      {load_into({}), "AdamW: the state is empty"},
      {[&] { adam().load_state_dict(good); },
       "Adam: the state is not one of Adam: it has 'AdamW.lr_factor'"},
      {load_into(adam().state_dict()), "AdamW: the state is not one of AdamW: it has 'Adam.lr_"},
      {[&] { Scheduler(*optimizer, schedule()).load_state_dict(good); },
       "Scheduler: the state is not one of Scheduler"},
      {load_into(without(good, "AdamW.param_groups.1.beta2")),
       "AdamW: the state has no 'AdamW.param_groups.1.beta2'"},
      {load_into(without(good, "AdamW.state.1.exp_avg_sq")),
       "AdamW: the state has no 'AdamW.state.1.exp_avg_sq'"},
      {load_into(with(good, "AdamW.state.1.exp_avg", zeros({4}))),
       "AdamW: 'AdamW.state.1.exp_avg' is f32[4]" + minidl::test::on_test_device() +
           ", but the parameter is f32[3]"},
      {load_into(with(good, "AdamW.state.1.step", number)),
       "AdamW: 'AdamW.state.1.step' must be one number of i64, not f64[]"},
      {load_into(with(good, "AdamW.param_groups.0.lr", zeros({2}, {.dtype = f64}))),
       "'AdamW.param_groups.0.lr' must be one number of f64, not f64[2]"},
      {load_into(with(good, "AdamW.param_groups.0.lr", scalar(NAN, {.dtype = f64, .device = cpu}))),
       "AdamW: lr must be a finite number"},
      {[&] {
         AdamW({p.weight, p.bias}, {}).load_state_dict(good);
       },
       "AdamW: 'AdamW.param_groups' is 2 in the state and 1 here"},
      {[&] {
         with_groups({p.weight}, {p.bias, p.kernel, p.idle})->load_state_dict(good);
       },
       "AdamW: 'AdamW.param_groups.0.parameters' is 2 in the state and 1 here"},
      {[&] {
         with_groups({p.weight, p.bias}, {p.kernel, p.idle})->load_state_dict(good);
       },
       "AdamW: the state has 'AdamW.state.conv.weight.exp_avg', and nothing here takes it"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK_THROWS_WITH(row.run(), Contains(row.text));
  }
  const StateDict now = optimizer->state_dict();
  REQUIRE(now.size() == good.size());
  for (std::size_t i = 0; i < now.size(); ++i) {
    CHECK(now[i].tensor.to_vector() == good[i].tensor.to_vector());
  }

  const minidl::test::Folder folder;
  save(adam(), folder / "adam.safetensors");
  CHECK_THROWS_WITH(load(*optimizer, folder / "adam.safetensors"),
                    Contains("adam.safetensors: AdamW: the state is not one of AdamW"));
  CHECK_THROWS_WITH(AdamW(StateDict{{"a", p.weight}, {"a", p.bias}}, {}),
                    Contains("two parameters are named 'a'"));
}

TEST_CASE("scheduler state: plateaus are counted on", "[optim]") {
  const minidl::test::Folder folder;
  const std::string file = folder / "plateau.safetensors";
  const PlateauOptions options{.factor = 0.5, .patience = 1, .cooldown = 1};
  const Values metrics{3, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1};
  for (std::size_t at = 0; at < metrics.size(); ++at) {
    CAPTURE(at);
    const Tensor p = zeros({1}, {.requires_grad = true});
    SGD sgd({p}, {.lr = 1});
    SGD other({p}, {.lr = 1});
    ReduceLROnPlateau whole(sgd, options);
    ReduceLROnPlateau resumed(other, options);
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      if (i == at) {
        save(whole, file);
        load(resumed, file);
        CHECK(other.lr() == sgd.lr());
      }
      whole.step(metrics[i]);
      if (i < at) continue;
      resumed.step(metrics[i]);
      CHECK(other.lr() == sgd.lr());
    }
    CHECK(sgd.lr() < 1);
  }
}

TEST_CASE("ema state: averages go on from a file", "[optim]") {
  const minidl::test::Folder folder;
  const std::string file = folder / "ema.safetensors";
  const nn::Linear net({.in = 3, .out = 2});
  train::ExponentialMovingAverage whole(net, {.decay = 0.9, .warmup = true});
  net.weight.detach().mul_(2);
  whole.update();
  save(whole, file);
  train::ExponentialMovingAverage resumed(net, {.decay = 0.9, .warmup = true});
  load(resumed, file);
  net.weight.detach().mul_(2);
  whole.update();
  resumed.update();
  CHECK(resumed.updates() == 2);
  for (std::size_t i = 0; i < whole.state_dict().size(); ++i) {
    CHECK(resumed.state_dict()[i].tensor.to_vector() == whole.state_dict()[i].tensor.to_vector());
  }
  const nn::Linear wider({.in = 4, .out = 2});
  train::ExponentialMovingAverage other(wider);
  CHECK_THROWS_WITH(load(other, file), Contains("ema.safetensors: ") && Contains("weight"));
}
