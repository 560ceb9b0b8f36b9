// Bits to numbers, as the tensor cores read them.
#pragma once

#include <cstdint>
#include <cstring>

#include "device.h"

namespace emu {

inline float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// Looked up: converting without the CPU's help costs more than the rest of a product.
float f16_to_float(std::uint16_t bits);

float fp8_to_float(Type type, std::uint8_t bits);

/// The value of an operand element; of tf32 the low 13 bits of the f32 are ignored.
inline float to_float(Type type, std::uint32_t bits) {
  switch (type) {
    case Type::kF16: return f16_to_float(static_cast<std::uint16_t>(bits));
    case Type::kBf16: return from_bits(bits << 16);
    case Type::kTf32: return from_bits(bits & ~0x1fffU);
    case Type::kS8: return static_cast<float>(static_cast<std::int8_t>(bits));
    case Type::kE4m3: return fp8_to_float(Type::kE4m3, static_cast<std::uint8_t>(bits));
    case Type::kE5m2: return fp8_to_float(Type::kE5m2, static_cast<std::uint8_t>(bits));
  }
  return 0;
}

inline unsigned bytes_of(Type type) {
  switch (type) {
    case Type::kTf32: return 4;
    case Type::kF16:
    case Type::kBf16: return 2;
    default: return 1;
  }
}

}  // namespace emu
