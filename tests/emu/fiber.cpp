#include "fiber.h"

#include <sys/mman.h>

#include <new>

#include "sanitizer.h"

#if !defined(__x86_64__) || !defined(__linux__)
#error "The emulator switches stacks with x86-64 assembly for Linux"
#endif

// Saves what the System V ABI lets a function keep (rbx, rbp, r12-r15) on the old stack, moves the
// stack pointer, and restores the same from the new stack.
extern "C" void emu_switch_stacks(void** save, void* to);
asm(R"(
.text
.globl emu_switch_stacks
.hidden emu_switch_stacks
.type emu_switch_stacks, @function
emu_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emu_switch_stacks, .-emu_switch_stacks
)");

namespace emu {
namespace {

constexpr std::size_t kPage = 4096;
constexpr int kSavedRegisters = 6;

// The stack that the scheduler runs on, as AddressSanitizer told us when a fiber was entered.
const void* scheduler_low = nullptr;
std::size_t scheduler_bytes = 0;

}  // namespace

Stack::Stack(std::size_t bytes) : bytes_((bytes + kPage - 1) / kPage * kPage) {
  void* memory = mmap(nullptr, bytes_ + kPage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kPage, PROT_NONE);
  low_ = static_cast<char*>(memory) + kPage;
}

Stack::~Stack() {
  EMU_UNPOISON(low_, bytes_);
  munmap(low_ - kPage, bytes_ + kPage);
}

bool Stack::overflowed_at(const void* address) const {
  const char* p = static_cast<const char*>(address);
  return p >= low_ - kPage && p < low_;
}

Stack* StackPool::take(std::size_t bytes) {
  if (bytes != bytes_) {
    idle_.clear();
    all_.clear();
    bytes_ = bytes;
  }
  if (idle_.empty()) {
    all_.push_back(std::make_unique<Stack>(bytes));
    return all_.back().get();
  }
  Stack* stack = idle_.back();
  idle_.pop_back();
  return stack;
}

void StackPool::give_back_all() {
  idle_.clear();
  for (auto& stack : all_) {
    EMU_UNPOISON(stack->low(), stack->bytes());
    idle_.push_back(stack.get());
  }
}

void prepare(Context& context, Stack* stack, unsigned stagger, void (*entry)()) {
  // The frames with which the previous owner left have never returned: what they poisoned stays.
  [[maybe_unused]] constexpr std::size_t kEntryFrames = 3 * kPage;
  EMU_UNPOISON(stack->high() - kEntryFrames, kEntryFrames);

  const auto high = reinterpret_cast<std::uintptr_t>(stack->high()) - stagger % 16 * 256;
  auto* top = reinterpret_cast<void**>(high & ~std::uintptr_t{15});
  *--top = nullptr;  // where entry() would return to; keeps the stack aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  context.stack_pointer = top;
  context.stack = stack;
}

void enter(Context& scheduler, Context& fiber) {
  EMU_START_SWITCH(&scheduler.asan_fake_stack, fiber.stack->low(), fiber.stack->bytes());
  emu_switch_stacks(&scheduler.stack_pointer, fiber.stack_pointer);
  EMU_FINISH_SWITCH(scheduler.asan_fake_stack, nullptr, nullptr);
}

void leave(Context& fiber, Context& scheduler, bool ends) {
  (void)ends;
  EMU_START_SWITCH(ends ? nullptr : &fiber.asan_fake_stack, scheduler_low, scheduler_bytes);
  emu_switch_stacks(&fiber.stack_pointer, scheduler.stack_pointer);
  EMU_FINISH_SWITCH(fiber.asan_fake_stack, nullptr, nullptr);
}

void arrived() {
  EMU_FINISH_SWITCH(nullptr, &scheduler_low, &scheduler_bytes);
}

}  // namespace emu
