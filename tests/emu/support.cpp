#include "support.h"

#include <cstdlib>

namespace emu {

// The runtime shim's streams queue launches; the engine's own tests have no streams.
const char* enqueue(cudaStream_t /*stream*/, Launch launch) {
  run(launch);
  return nullptr;
}

}  // namespace emu

namespace emu_test {
namespace {

unsigned seed() {
  static const unsigned value = [] {
    const char* text = std::getenv("MINIDL_TEST_SEED");
    return text != nullptr ? static_cast<unsigned>(std::stoul(text)) : std::random_device{}();
  }();
  return value;
}

}  // namespace

std::mt19937 random_engine() {
  return std::mt19937(seed());
}
std::string seed_text() {
  return "MINIDL_TEST_SEED=" + std::to_string(seed());
}

std::vector<std::uint32_t> random_words(std::size_t n, std::mt19937& engine) {
  std::vector<std::uint32_t> words(n);
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(engine());
  return words;
}

}  // namespace emu_test
