#include "minidl/core/autograd/checkpoint.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "minidl/core/autocast.h"
#include "minidl/core/autograd/engine.h"
#include "minidl/core/autograd/node.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/random.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace autograd {
namespace {

thread_local bool recomputing = false;

// Leaves a body that has computed enough. Not an Error, so that modules let it pass.
struct Enough {};

// Where a recomputed tensor waits for the operation that saved it the first time.
struct Slot {
  Tensor tensor;
};

// What the first run would have kept.
struct Dropped {
  Shape shape;
  DType dtype;
  std::uint64_t version;
  std::uint64_t stream;      // the default generator's at that moment
  std::weak_ptr<Slot> slot;  // gone when nobody will ask for the tensor any more
};

bool lives_anyway(const Tensor& tensor) {
  return tensor.storage().tag() == MemoryTag::param;
}

const char* last_change(const Tensor& tensor) {
  const char* op = tensor.storage().last_change();
  return op == nullptr ? "an unnamed operation" : op;
}

// A parameter or buffer that an operation read.
struct Read {
  std::shared_ptr<const Op> op;
  Tensor tensor;
  std::uint64_t version;
};

class ReadObserver final : public OpObserver {
 public:
  explicit ReadObserver(std::vector<Read>& reads) : reads_(reads) {}
  void on_op(const std::shared_ptr<const Op>& op, const Tensors& inputs,
             const Tensors& /*outputs*/) override {
    for (const Tensor& input : inputs) {
      if (!input.defined() || !lives_anyway(input)) continue;
      const auto same = [&](const Read& read) { return read.tensor.storage() == input.storage(); };
      if (std::any_of(reads_.begin(), reads_.end(), same)) continue;
      reads_.push_back({op, input.detach(), input.storage().version()});
    }
  }

 private:
  std::vector<Read>& reads_;
};

// The surroundings of a second run.
class SecondRun {
 public:
  SecondRun(const Generator::State& random, DType autocast)
      : random_after_(default_generator().state()),
        was_recomputing_(recomputing),
        autocast_(autocast) {
    default_generator().set_state(random);
    recomputing = true;
  }
  ~SecondRun() {
    default_generator().set_state(random_after_);
    recomputing = was_recomputing_;
  }
  SecondRun(const SecondRun&) = delete;
  SecondRun& operator=(const SecondRun&) = delete;

 private:
  Generator::State random_after_;
  bool was_recomputing_;
  Autocast autocast_;
  GradModeGuard recording_{true};
};

// One call of `checkpoint`. What its first run saved holds it: the tape of that run.
class Checkpoint : public std::enable_shared_from_this<Checkpoint> {
 public:
  using Body = std::function<Tensors(const Tensors&)>;

  Checkpoint(Body body, const Tensors& inputs)
      : body_(std::move(body)), random_(default_generator().state()) {
    for (const Tensor& input : inputs) {
      if (input.defined()) {
        inputs_.push_back({true, input.requires_grad(), SavedTensor(input)});
      } else {
        inputs_.emplace_back();
      }
    }
  }

  Tensors run(const Tensors& inputs) {
    const ReadObserver observer(reads_);
    const SavedTensorHooks hooks([this](const Tensor& saved) { return drop(saved); });
    return body_(inputs);
  }

 private:
  struct Input {
    bool defined = false;
    bool requires_grad = false;
    SavedTensor saved;
  };

  SavedTensorHooks::Unpack drop(const Tensor& saved) {
    if (lives_anyway(saved)) return {};
    const auto slot = std::make_shared<Slot>();
    dropped_.push_back({saved.shape(), saved.dtype(), saved.storage().version(),
                        default_generator().state().next_stream, slot});
    return [self = shared_from_this(), slot] {
      if (!slot->tensor.defined()) self->recompute();
      return std::exchange(slot->tensor, {});
    };
  }

  void recompute() {
    check_parameters();
    // What this pass has no use for (it may start at one of several results) goes at its end.
    queue_end_of_backward([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->empty_slots();
    });
    try {
      fill_slots();
    } catch (Error& error) {
      empty_slots();
      error.add_context("second run of a checkpoint");
      throw;
    } catch (...) {
      empty_slots();
      throw;
    }
  }

  void fill_slots() {
    std::size_t wanted = dropped_.size();
    while (dropped_[wanted - 1].slot.expired()) --wanted;
    std::size_t found = 0;
    const Tensors inputs = unpack_inputs();
    const SecondRun surroundings(random_, autocast_);
    const SavedTensorHooks hooks([&](const Tensor& saved) -> SavedTensorHooks::Unpack {
      if (found < wanted && !lives_anyway(saved)) put_back(saved, dropped_[found++]);
      if (found == wanted) throw Enough();
      return [] { return Tensor(); };  // this tape is never run
    });
    try {
      body_(inputs);
    } catch (const Enough&) {
      return;
    }
    check(found == wanted,
          "the body saved {} tensors for backward and {} or more the first time; it must do the "
          "same both times (was the module switched between train() and eval()?)",
          found, wanted);
  }

  static void put_back(const Tensor& saved, const Dropped& dropped) {
    if (saved.shape() != dropped.shape || saved.dtype() != dropped.dtype) {
      fail(
          "the body saved {} for backward and {}{} the first time; it must do the same both times "
          "(was the module switched between train() and eval()?)",
          describe(saved), dropped.dtype, dropped.shape);
    }
    if (saved.storage().version() != dropped.version) {
      fail(
          "the body saved {} for backward, which {} has changed in place since the first time; use "
          "the out-of-place form or clone() it first",
          describe(saved), last_change(saved));
    }
    check(default_generator().state().next_stream == dropped.stream,
          "the body drew other random numbers than the first time; it must do the same both times "
          "(was a dropout switched between train() and eval()?)");
    if (const std::shared_ptr<Slot> slot = dropped.slot.lock()) slot->tensor = saved;
  }

  void check_parameters() const {
    for (const Read& read : reads_) {
      if (read.tensor.storage().version() == read.version) continue;
      fail(
          "{}: {} was read in a checkpoint and has since been changed in place by {}; call "
          "backward before",
          read.op->name(), describe(read.tensor), last_change(read.tensor));
    }
  }

  Tensors unpack_inputs() const {
    Tensors inputs;
    for (const Input& input : inputs_) {
      inputs.emplace_back();
      if (!input.defined) continue;
      const int index = static_cast<int>(inputs.size()) - 1;
      inputs.back() = input.saved.unpack("checkpoint", "input", index).detach();
      inputs.back().set_requires_grad(input.requires_grad);
    }
    return inputs;
  }

  void empty_slots() const {
    for (const Dropped& dropped : dropped_) {
      if (const std::shared_ptr<Slot> slot = dropped.slot.lock()) slot->tensor = {};
    }
  }

  Body body_;
  Generator::State random_;
  DType autocast_ = autocast_dtype();
  std::vector<Input> inputs_;
  std::vector<Read> reads_;
  std::vector<Dropped> dropped_;
};

}  // namespace

bool is_recomputing() {
  return recomputing;
}

}  // namespace autograd

Tensors checkpoint(std::function<Tensors(const Tensors&)> body, const Tensors& inputs) {
  if (!grad_enabled()) return body(inputs);
  return std::make_shared<autograd::Checkpoint>(std::move(body), inputs)->run(inputs);
}

Tensor checkpoint(const std::function<Tensor(const Tensor&)>& body, const Tensor& x) {
  const auto one_of_one = [body](const Tensors& inputs) { return Tensors{body(inputs[0])}; };
  return checkpoint(one_of_one, Tensors{x}).front();
}

}  // namespace minidl
