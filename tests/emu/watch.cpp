// A thread that overflows its stack or never comes back to the scheduler ends with an Error. Both
// are noticed in signal handlers, which leave the fiber for good as fail() does.
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <ctime>

#include "sanitizer.h"
#include "scheduler.h"

namespace emu {
namespace {

constexpr std::size_t kHandlerStack = 64 * 1024;
alignas(16) char handler_stack[kHandlerStack];

struct sigaction previous_fault, previous_tick;
stack_t previous_stack;
std::uint64_t switches_at_tick = 0;
unsigned ticks = 0;

// The fault of a fiber that has run into the page below its stack.
[[maybe_unused]] void on_fault(int number, siginfo_t* info, void*) {
  Fiber* fiber = execution.running;
  if (fiber != nullptr && fiber->context.stack->overflowed_at(info->si_addr)) {
    fail("stack overflow: a thread has %zu KiB (MINIDL_EMU_STACK, in KiB)", stack_bytes() / 1024);
  }
  // Not ours: as it was before, the instruction faults again.
  sigaction(number, &previous_fault, nullptr);
}

void on_tick(int, siginfo_t*, void*) {
  Execution& e = execution;
  if (e.running == nullptr || e.switches != switches_at_tick) {
    switches_at_tick = e.switches;
    ticks = 0;
    return;
  }
  if (++ticks < options().hang_seconds) return;
  ticks = 0;
  fail(
      "runs for %u s without coming to a barrier or an end: an endless loop, or one that reads "
      "memory until somebody else writes it (MINIDL_EMU_HANG, in s)",
      options().hang_seconds);
}

// CPU time of the calling thread, so that a busy machine does not matter.
class Timer {
 public:
  Timer() {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGVTALRM;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    valid_ = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer_) == 0;
  }
  ~Timer() {
    if (valid_) timer_delete(timer_);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void set(time_t seconds) {
    const itimerspec every{{seconds, 0}, {seconds, 0}};
    if (valid_) timer_settime(timer_, 0, &every, nullptr);
  }

 private:
  timer_t timer_{};
  bool valid_ = false;
};

Timer& timer() {
  // A child of fork() has no timers: it makes its own.
  static thread_local pid_t owner = 0;
  static thread_local std::unique_ptr<Timer> timer;
  if (owner != getpid()) {
    (void)timer.release();
    timer = std::make_unique<Timer>();
    owner = getpid();
  }
  return *timer;
}

}  // namespace

Watch::Watch() {
  stack_t stack{};
  stack.ss_sp = handler_stack;
  stack.ss_size = kHandlerStack;
  sigaltstack(&stack, &previous_stack);

  struct sigaction action {};
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
#ifndef EMU_ASAN  // which recognises a stack overflow itself
  action.sa_sigaction = on_fault;
  sigaction(SIGSEGV, &action, &previous_fault);
#endif
  action.sa_sigaction = on_tick;
  sigaction(SIGVTALRM, &action, &previous_tick);
  ticks = 0;
  timer().set(1);
}

Watch::~Watch() {
  timer().set(0);
  sigaction(SIGVTALRM, &previous_tick, nullptr);
#ifndef EMU_ASAN
  sigaction(SIGSEGV, &previous_fault, nullptr);
#endif
  sigaltstack(&previous_stack, nullptr);
  EMU_UNPOISON(handler_stack, kHandlerStack);  // handlers that left for good
}

}  // namespace emu
