// Switching the recording of the tape on and off, per thread.
#pragma once

namespace minidl {

/// Whether operations on tensors that require a gradient are recorded.
bool grad_enabled();

/// Sets grad_enabled() for the life of the guard.
class GradModeGuard {
 public:
  explicit GradModeGuard(bool enabled);
  ~GradModeGuard();
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool previous_;
};

/// Records nothing while it lives: evaluation, optimizers, data preparation.
class NoGradGuard : public GradModeGuard {
 public:
  NoGradGuard() : GradModeGuard(false) {}
};

}  // namespace minidl
