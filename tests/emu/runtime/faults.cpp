#include "faults.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>

#include "../device.h"
#include "../engine.h"
#include "access.h"
#include "heap.h"
#include "pinned.h"

#if !defined(__x86_64__) || !defined(__linux__)
#error "The fault handler knows the registers of x86-64 Linux"
#endif

namespace emu::runtime {
namespace {

constexpr std::size_t kHandlerStack = 64 * 1024;
constexpr greg_t kWriteAccess = 2;  // bit of the page fault's error code

struct sigaction previous {};  // whom we are on top of: while a kernel runs, the engine's watch
std::optional<struct sigaction> first;  // who was there before either of us
thread_local bool memory_fault = false;
thread_local greg_t passed_on_at = 0;  // the instruction whose fault was not ours
thread_local std::string refused;      // why the access was refused, for the code after the handler

// Control goes on here, on the stack of the code that faulted, instead of at the access.
[[noreturn]] void after_refusal() {
  fail("%s", refused.c_str());
}

void go_on_at(ucontext_t& context, void (*function)()) {
  greg_t* registers = context.uc_mcontext.gregs;
  constexpr greg_t kRedZone = 128;  // below the stack pointer, in use by leaf functions
  // As after a call: the stack pointer plus 8 is a multiple of 16, and nobody is returned to.
  registers[REG_RSP] = ((registers[REG_RSP] - kRedZone) & ~greg_t{15}) - 8;
  *reinterpret_cast<std::uintptr_t*>(registers[REG_RSP]) = 0;
  registers[REG_RIP] = reinterpret_cast<greg_t>(function);
}

// True if the access may be repeated or control goes on elsewhere.
bool handle_device_access(const void* address, ucontext_t& context) {
  Accessor* accessor = current_accessor();
  if (accessor == nullptr) return false;
  const bool write = (context.uc_mcontext.gregs[REG_ERR] & kWriteAccess) != 0;
  const std::scoped_lock lock(Heap::instance().mutex);
  refused = try_access(*accessor, address, 1, write);
  if (refused.empty()) return true;
  memory_fault = true;
  // Between the fibers nobody can be stopped: asynchronous copies happen there.
  if (!in_kernel()) return open_anyway(*accessor, address, refused);
  go_on_at(context, after_refusal);
  return true;
}

void explain(const void* address) {
  std::string text;
  if (Heap::instance().in_range(address)) {
    const std::scoped_lock lock(Heap::instance().mutex);
    text = current_accessor() != nullptr
               ? refused
               : "the host touched device memory at " + Heap::instance().describe(address) +
                     ": copy it with cudaMemcpy";
  } else {
    text = explain_pinned_fault(address);
  }
  if (!text.empty()) std::fprintf(stderr, "emu: %s\n", text.c_str());
}

void pass_on(int signal, siginfo_t* info, void* context) {
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    ::signal(SIGSEGV, SIG_DFL);  // the access faults again, and that ends the process
  }
}

void handle(int signal, siginfo_t* info, void* context) {
  const auto here = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  // A handler that we passed the signal on to may have passed it back.
  if (here == passed_on_at) {
    sigaction(SIGSEGV, &*first, nullptr);
    return;
  }
  const bool ours = Heap::instance().in_range(info->si_addr);
  if (!ours || !handle_device_access(info->si_addr, *static_cast<ucontext_t*>(context))) {
    explain(info->si_addr);
    passed_on_at = here;
    pass_on(signal, info, context);
  }
}

// Kernels run on small stacks of their own, which the handler must not use.
struct HandlerStack {
  HandlerStack() {
    stack_t now{};
    sigaltstack(nullptr, &now);
    if ((now.ss_flags & SS_DISABLE) == 0 && now.ss_size >= kHandlerStack) return;
    memory = std::malloc(kHandlerStack);
    stack_t mine{};
    mine.ss_sp = memory;
    mine.ss_size = kHandlerStack;
    sigaltstack(&mine, nullptr);
  }
  ~HandlerStack() {
    if (memory == nullptr) return;
    stack_t now{};
    sigaltstack(nullptr, &now);
    if (now.ss_sp != memory) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    std::free(memory);
  }
  void* memory = nullptr;
};

}  // namespace

bool had_memory_fault() {
  return memory_fault;
}

void forget_memory_fault() {
  memory_fault = false;
}

void install_fault_handler() {
  static thread_local HandlerStack stack;
  (void)stack;
  passed_on_at = 0;  // whoever took that fault has left its place for good
  struct sigaction now {};
  sigaction(SIGSEGV, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == handle) return;
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  if (!first) first = now;
  previous = now;
  struct sigaction mine {};
  mine.sa_sigaction = handle;
  mine.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &mine, nullptr);
}

}  // namespace emu::runtime
