// Where the time and the memory go.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl {

/// Something that ran while a Profiler lived. Times are the host's: what an operation queues on a
/// GPU runs later.
struct ProfileEvent {
  enum class Kind { op, backward, module, scope };

  std::string name;  ///< "conv2d", "backward of conv2d", or that of a module or scope
  Kind kind = Kind::scope;
  std::string module;      ///< path of the module that it belongs to; "" outside
  std::string shapes;      ///< of an op's operands: "[8, 3, 32, 32], [16, 3, 3, 3], none"
  double start = 0;        ///< microseconds since the profiler was made
  double duration = 0;     ///< microseconds
  double self = 0;         ///< the same without what ran inside
  std::int64_t bytes = 0;  ///< change of the memory in use on the operands' device
  int thread = 0;          ///< threads count up from 0
};

/// All events of one name (and of one shape, if asked for), added up.
struct ProfileRow {
  std::string name;
  ProfileEvent::Kind kind = ProfileEvent::Kind::scope;
  std::string shapes;
  std::int64_t calls = 0;
  double total = 0;  ///< microseconds
  double self = 0;
  std::int64_t bytes = 0;
};

/// Records every operation, backward step, module and ProfileScope of all threads while it lives,
/// or until stop(). There can be one at a time: a second throws Error. Without one, an operation
/// pays for a look at a flag.
///
///     dl::Profiler profiler;
///     train_step();
///     profiler.stop();
///     std::cout << profiler.table();
///     profiler.save_chrome_trace("trace.json");  // for chrome://tracing or ui.perfetto.dev
///
/// In a build with CUDA, the same ranges reach NVIDIA's tools (Nsight Systems) through NVTX.
class Profiler {
 public:
  Profiler();
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  void stop();

  /// In the order in which they ended. Call stop() first.
  const std::vector<ProfileEvent>& events() const;

  /// Sorted by self time, the largest first.
  std::vector<ProfileRow> key_averages(bool by_shape = false) const;

  /// key_averages as text, with shares of the whole; at most `rows` lines.
  std::string table(int rows = 20, bool by_shape = false) const;

  /// In the format of Chrome's about:tracing, written atomically. `process` tells ranks apart.
  void save_chrome_trace(const std::string& path, int process = 0) const;

 private:
  struct Session;
  friend class ProfileScope;
  std::shared_ptr<Session> session_;
};

/// Gives a part of the program a name in profiles.
class ProfileScope {
 public:
  explicit ProfileScope(std::string_view name) {
    if (running()) begin(ProfileEvent::Kind::scope, name, nullptr);
  }
  /// For the library: an op with its operands, or a module, whose name is its path.
  ProfileScope(ProfileEvent::Kind kind, std::string_view name, const Tensors* operands = nullptr) {
    if (running()) begin(kind, name, operands);
  }
  ~ProfileScope() {
    if (session_ != nullptr) end();
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

  /// Whether a Profiler is at work.
  static bool running();

  /// Of a backward step: where its forward ran.
  void set_module(const std::string& path) {
    if (event_ != nullptr) event_->module = path;
  }

 private:
  void begin(ProfileEvent::Kind kind, std::string_view name, const Tensors* operands);
  void end();

  std::shared_ptr<Profiler::Session> session_;
  std::unique_ptr<ProfileEvent> event_;
  Device device_;
  double inside_ = 0;
  ProfileScope* outer_ = nullptr;
};

}  // namespace minidl
