// Callbacks that are registered and can be taken back.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace minidl {

/// What registering a hook returns. A hook stays for as long as what it hangs on; `remove` takes it
/// back earlier, from within a hook too. Handles may be dropped, copied, and outlive everything.
class HookHandle {
 public:
  HookHandle() = default;
  explicit HookHandle(std::weak_ptr<bool> active) : active_(std::move(active)) {}

  void remove() {
    if (const std::shared_ptr<bool> active = active_.lock()) *active = false;
  }

 private:
  std::weak_ptr<bool> active_;
};

/// The hooks of one kind, called in the order in which they were added.
template <class F>
class HookList {
 public:
  HookHandle add(F call) {
    if (running_ == 0) std::erase_if(hooks_, [](const Hook& hook) { return !*hook.active; });
    hooks_.push_back({std::move(call), std::make_shared<bool>(true)});
    return HookHandle(hooks_.back().active);
  }

  /// Whether a call would reach no hook.
  bool empty() const {
    for (const Hook& hook : hooks_) {
      if (*hook.active) return false;
    }
    return true;
  }

  /// Gives each hook to `visit`. Hooks added meanwhile are called, too.
  template <class Visit>
  void for_each(const Visit& visit) const {
    const Running running(running_);
    // By index and by copy: a hook may add others.
    for (std::size_t i = 0; i < hooks_.size(); ++i) {
      const Hook hook = hooks_[i];
      if (*hook.active) visit(hook.call);
    }
  }

 private:
  struct Hook {
    F call;
    std::shared_ptr<bool> active;
  };
  struct Running {
    explicit Running(int& depth) : depth_(depth) { ++depth_; }
    ~Running() { --depth_; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    int& depth_;
  };

  std::vector<Hook> hooks_;
  mutable int running_ = 0;  // calls of for_each that hold an index into hooks_
};

}  // namespace minidl
