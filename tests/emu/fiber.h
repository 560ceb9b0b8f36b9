// Stackful coroutines: a stack of its own per CUDA thread, and switching between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace emu {

/// Anonymous memory with an unreadable page below it.
class Stack {
 public:
  explicit Stack(std::size_t bytes);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  char* low() const { return low_; }
  char* high() const { return low_ + bytes_; }
  std::size_t bytes() const { return bytes_; }
  bool overflowed_at(const void* address) const;

 private:
  char* low_;
  std::size_t bytes_;
};

/// Stacks are reused last in, first out: threads that never wait all run on one hot stack.
class StackPool {
 public:
  Stack* take(std::size_t bytes);
  void give_back(Stack* stack) { idle_.push_back(stack); }
  void give_back_all();

 private:
  std::size_t bytes_ = 0;
  std::vector<std::unique_ptr<Stack>> all_;
  std::vector<Stack*> idle_;
};

/// Where a suspended flow of control goes on.
struct Context {
  void* stack_pointer = nullptr;
  void* asan_fake_stack = nullptr;
  Stack* stack = nullptr;  // null for the scheduler, which runs on the stack of its OS thread
};

/// Makes `context` start with entry() on `stack`. `stagger` is a small number: stacks whose tops
/// are whole pages apart fall into the same cache sets.
void prepare(Context& context, Stack* stack, unsigned stagger, void (*entry)());

/// The scheduler goes over to a fiber; returns when the fiber has left.
void enter(Context& scheduler, Context& fiber);

/// A fiber goes back to the scheduler; `ends` if it never comes back.
void leave(Context& fiber, Context& scheduler, bool ends);

/// The first thing to call in entry().
void arrived();

}  // namespace emu
