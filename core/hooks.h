// Callbacks that are registered and can be taken back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace minidl {

/// What registering a hook returns. A hook stays for as long as what it hangs on; `remove` takes it
/// back earlier, from within a hook too, and destroys it. Handles may be dropped, copied, and
/// outlive everything.
class HookHandle {
 public:
  /// A hook that can be taken back.
  class Removable {
   public:
    virtual ~Removable() = default;
    virtual void remove() = 0;
  };

  HookHandle() = default;
  explicit HookHandle(std::weak_ptr<Removable> hook) : hook_(std::move(hook)) {}

  /// Does nothing the second time, or when what the hook hung on has gone.
  void remove() {
    if (const std::shared_ptr<Removable> hook = hook_.lock()) hook->remove();
  }

 private:
  std::weak_ptr<Removable> hook_;
};

/// The hooks of one kind, called in the order in which they were added. F is a std::function.
template <class F>
class HookList {
 public:
  HookHandle add(F call) {
    if (running_ == 0) std::erase_if(hooks_, [](const auto& hook) { return !hook->call; });
    hooks_.push_back(std::make_shared<Hook>(std::move(call)));
    return HookHandle(hooks_.back());
  }

  /// Whether a call would reach no hook.
  bool empty() const {
    return std::none_of(hooks_.begin(), hooks_.end(), [](const auto& hook) { return hook->call; });
  }

  /// Gives each hook to `visit`. Hooks added meanwhile are called, too.
  template <class Visit>
  void for_each(const Visit& visit) const {
    const Running running(running_);
    // By index and by copy: a hook may add others and remove itself.
    for (std::size_t i = 0; i < hooks_.size(); ++i) {
      if (const F call = hooks_[i]->call) visit(call);
    }
  }

 private:
  struct Hook final : HookHandle::Removable {
    explicit Hook(F function) : call(std::move(function)) {}
    void remove() override { const F removed = std::exchange(call, nullptr); }
    F call;  // empty once removed
  };
  struct Running {
    explicit Running(int& depth) : depth_(depth) { ++depth_; }
    ~Running() { --depth_; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    int& depth_;
  };

  std::vector<std::shared_ptr<Hook>> hooks_;
  mutable int running_ = 0;  // calls of for_each that hold an index into hooks_
};

}  // namespace minidl
