#include "minidl/core/profiler.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "minidl/core/module_path.h"
#include "minidl/core/serialization/atomic_file.h"
#include "minidl/kernels/common/allocator.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"

namespace minidl {

struct Profiler::Session {
  using Clock = std::chrono::steady_clock;

  double now() const {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  }

  // Both under the mutex.
  int thread_number(std::thread::id id) {
    return threads.try_emplace(id, static_cast<int>(threads.size())).first->second;
  }

  const Clock::time_point start = Clock::now();
  std::mutex mutex;
  bool running = true;
  std::map<std::thread::id, int> threads;
  std::vector<ProfileEvent> events;
};

namespace {

using Kind = ProfileEvent::Kind;

std::atomic<bool> is_running = false;
std::mutex current_mutex;
std::shared_ptr<void> current;  // the session, under the mutex
thread_local ProfileScope* innermost = nullptr;

std::string shapes_of(const Tensors& operands) {
  std::string text;
  for (const Tensor& operand : operands) {
    if (!text.empty()) text += ", ";
    text += operand.defined() ? to_string(operand.shape()) : "none";
  }
  return text;
}

Device device_of(const Tensors* operands) {
  if (operands == nullptr) return default_device();
  const auto defined = [](const Tensor& operand) { return operand.defined(); };
  const auto first = std::find_if(operands->begin(), operands->end(), defined);
  return first == operands->end() ? default_device() : first->device();
}

std::int64_t bytes_in_use(const Device& device) {
  return memory_stats(device).total.current;
}

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::op: return "op";
    case Kind::backward: return "backward";
    case Kind::module: return "module";
    case Kind::scope: return "scope";
  }
  return "?";
}

std::string bytes_text(std::int64_t bytes) {
  const double size = std::abs(static_cast<double>(bytes));
  if (size >= 1e9) return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
  if (size >= 1e6) return fmt::format("{:.2f} MB", static_cast<double>(bytes) / 1e6);
  if (size >= 1e3) return fmt::format("{:.2f} kB", static_cast<double>(bytes) / 1e3);
  return fmt::format("{} B", bytes);
}

std::string time_text(double microseconds) {
  if (microseconds >= 1e6) return fmt::format("{:.3f} s", microseconds / 1e6);
  if (microseconds >= 1e3) return fmt::format("{:.3f} ms", microseconds / 1e3);
  return fmt::format("{:.1f} us", microseconds);
}

}  // namespace

Profiler::Profiler() : session_(std::make_shared<Session>()) {
  const std::scoped_lock lock(current_mutex);
  check(current == nullptr, "there is a profiler at work already: stop() that one first");
  current = session_;
  is_running = true;
}

Profiler::~Profiler() {
  stop();
}

void Profiler::stop() {
  {
    const std::scoped_lock lock(current_mutex);
    if (current == session_) {
      is_running = false;
      current = nullptr;
    }
  }
  const std::scoped_lock lock(session_->mutex);
  session_->running = false;
}

const std::vector<ProfileEvent>& Profiler::events() const {
  const std::scoped_lock lock(session_->mutex);
  check(!session_->running, "profiler: stop() it before looking at its events");
  return session_->events;
}

std::vector<ProfileRow> Profiler::key_averages(bool by_shape) const {
  std::map<std::tuple<Kind, std::string, std::string>, ProfileRow> rows;
  for (const ProfileEvent& event : events()) {
    const std::string shapes = by_shape ? event.shapes : "";
    ProfileRow& row = rows[{event.kind, event.name, shapes}];
    row.name = event.name;
    row.kind = event.kind;
    row.shapes = shapes;
    ++row.calls;
    row.total += event.duration;
    row.self += event.self;
    row.bytes += event.bytes;
  }
  std::vector<ProfileRow> sorted;
  for (auto& [key, row] : rows) sorted.push_back(std::move(row));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const ProfileRow& a, const ProfileRow& b) { return a.self > b.self; });
  return sorted;
}

std::string Profiler::table(int rows, bool by_shape) const {
  const std::vector<ProfileRow> averages = key_averages(by_shape);
  double whole = 0;
  for (const ProfileRow& row : averages) whole += row.self;
  std::string text =
      fmt::format("{:32} {:9} {:>7} {:>12} {:>6} {:>12} {:>12} {:>11}{}\n", "name", "kind", "calls",
                  "self", "share", "total", "mean", "memory", by_shape ? "  shapes" : "");
  const auto count = std::min(averages.size(), static_cast<std::size_t>(std::max(rows, 0)));
  for (std::size_t i = 0; i < count; ++i) {
    const ProfileRow& row = averages[i];
    text +=
        fmt::format("{:32} {:9} {:>7} {:>12} {:>5.1f}% {:>12} {:>12} {:>11}", row.name,
                    name_of(row.kind), row.calls, time_text(row.self),
                    whole > 0 ? 100 * row.self / whole : 0, time_text(row.total),
                    time_text(row.total / static_cast<double>(row.calls)), bytes_text(row.bytes));
    text += by_shape ? "  " + row.shapes + "\n" : "\n";
  }
  if (count < averages.size()) text += fmt::format("and {} more\n", averages.size() - count);
  return text + fmt::format("{} in all\n", time_text(whole));
}

void Profiler::save_chrome_trace(const std::string& path, int process) const {
  nlohmann::json trace = nlohmann::json::array();
  for (const ProfileEvent& event : events()) {
    nlohmann::json arguments = nlohmann::json::object();
    if (!event.module.empty()) arguments["module"] = event.module;
    if (!event.shapes.empty()) arguments["shapes"] = event.shapes;
    if (event.bytes != 0) arguments["bytes"] = event.bytes;
    trace.push_back({{"name", event.name},
                     {"cat", name_of(event.kind)},
                     {"ph", "X"},  // a complete event
                     {"ts", event.start},
                     {"dur", event.duration},
                     {"pid", process},
                     {"tid", event.thread},
                     {"args", std::move(arguments)}});
  }
  const nlohmann::json file{{"traceEvents", std::move(trace)}, {"displayTimeUnit", "ms"}};
  // Names come from programs: what is not UTF-8 is replaced.
  write_file(path, file.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

bool ProfileScope::running() {
  return is_running.load(std::memory_order_relaxed);
}

void ProfileScope::begin(ProfileEvent::Kind kind, std::string_view name, const Tensors* operands) {
  {
    const std::scoped_lock lock(current_mutex);
    session_ = std::static_pointer_cast<Profiler::Session>(current);
  }
  if (session_ == nullptr) return;  // it has just ended
  event_ = std::make_unique<ProfileEvent>();
  event_->module = current_module_path();
  event_->name = name;
  event_->kind = kind;
  if (kind == Kind::module) event_->name = event_->module.empty() ? "forward" : event_->module;
  if (operands != nullptr) event_->shapes = shapes_of(*operands);
  device_ = device_of(operands);
  outer_ = std::exchange(innermost, this);
  kernels::cuda::push_range(event_->name.c_str());
  event_->bytes = -bytes_in_use(device_);
  event_->start = session_->now();
}

void ProfileScope::end() {
  event_->duration = session_->now() - event_->start;
  event_->self = event_->duration - inside_;
  event_->bytes += bytes_in_use(device_);
  kernels::cuda::pop_range();
  innermost = outer_;
  if (outer_ != nullptr && outer_->session_ == session_) outer_->inside_ += event_->duration;
  const std::scoped_lock lock(session_->mutex);
  if (!session_->running) return;
  event_->thread = session_->thread_number(std::this_thread::get_id());
  session_->events.push_back(std::move(*event_));
}

}  // namespace minidl
