// wgmma: a warpgroup's asynchronous product of a 64 x K and a K x N tile in shared memory,
// described by matrix descriptors, added to accumulators in registers.
#include <algorithm>
#include <cstring>

#include "number.h"
#include "state.h"
#include "tensor_map.h"

namespace emu {
namespace {

constexpr unsigned kRows = 64;
constexpr const char* kName = "wgmma.mma_async";

// K: 32 bytes.
unsigned depth(Type type) {
  return 32 / bytes_of(type);
}

struct Descriptor {
  std::uint32_t start, leading, stride;  // bytes
  unsigned swizzle;                      // as swizzled() takes it

  explicit Descriptor(std::uint64_t bits)
      : start(field(bits, 0)), leading(field(bits, 16)), stride(field(bits, 32)) {
    const auto mode = static_cast<unsigned>(bits >> 62);
    swizzle = mode == 0 ? 0 : 4 - mode;
    if ((bits >> 49 & 7) != 0) fail("%s: a base offset in a descriptor; align to 1024", kName);
    if ((bits >> 46 & 7) != 0 || (bits >> 52 & 0x3ff) != 0) {
      fail("%s: %016llx is no matrix descriptor", kName, static_cast<unsigned long long>(bits));
    }
  }
  static std::uint32_t field(std::uint64_t bits, unsigned at) {
    return static_cast<std::uint32_t>(bits >> at & 0x3fff) << 4;
  }

  // Shared address of element (mn, k): mn counts rows of A or columns of B. Tiles consist of 8 rows
  // of 16, 32, 64 or 128 bytes, as the swizzle is wide.
  std::uint32_t address(bool mn_major, unsigned mn, unsigned k, unsigned element) const {
    const std::uint32_t width = 16U << swizzle;
    std::uint32_t offset = 0;
    if (!mn_major) {
      const std::uint32_t along = k * element;
      offset = mn % 8 * width + mn / 8 * stride + along % width + along / width * leading;
    } else if (swizzle == 0) {
      offset = mn % 8 * element + mn / 8 * stride + k % 8 * 16 + k / 8 * leading;
    } else {
      const std::uint32_t along = mn * element;
      offset = along % width + along / width * leading + k % 8 * width + k / 8 * stride;
    }
    return swizzled(start + offset, swizzle);
  }
};

std::uint32_t element_at(const Block& block, std::uint32_t address, unsigned bytes) {
  std::uint32_t value = 0;
  std::memcpy(&value, block.arena + (address - kSharedBase), bytes);
  return value;
}

// The 16-byte chunks that the operand lies in.
void add_chunks(const Descriptor& descriptor, const WgmmaShape& shape, bool mn_major, unsigned mns,
                std::vector<std::uint32_t>& chunks) {
  const unsigned element = bytes_of(shape.type), per = 16 / element;
  const unsigned mn_step = mn_major ? per : 1, k_step = mn_major ? 1 : per;
  for (unsigned mn = 0; mn < mns; mn += mn_step) {
    for (unsigned k = 0; k < depth(shape.type); k += k_step) {
      chunks.push_back(descriptor.address(mn_major, mn, k, element) & ~15U);
    }
  }
}

// Row and column of the accumulator that lane l holds in register r.
struct Place {
  unsigned row, column;
};
Place place(unsigned l, unsigned r) {
  return {l / 32 * 16 + l % 32 / 4 + r / 2 % 2 * 8, r / 4 * 8 + l % 4 * 2 + r % 2};
}

// Row of A and place along k of element h of register i of lane l.
Place a_place(unsigned l, unsigned i, unsigned h, unsigned per) {
  return {l / 32 * 16 + l % 32 / 4 + i % 2 * 8, i / 2 * 4 * per + l % 4 * per + h};
}

// Both operands as numbers, row-major 64 x K and K x N.
template <class Sum>
struct Operands {
  std::vector<Sum> a, b;

  Operands(const Block& block, const WgmmaOp& op) {
    const WgmmaShape& shape = op.shape;
    const unsigned k_all = depth(shape.type), element = bytes_of(shape.type);
    const auto number = [](Type type, std::uint32_t bits) {
      return static_cast<Sum>(to_float(type, bits));
    };
    a.resize(kRows * k_all);
    b.resize(std::size_t{k_all} * shape.n);
    if (op.a.empty()) {
      const Descriptor descriptor(op.desc_a);
      for (unsigned row = 0; row < kRows; ++row) {
        for (unsigned k = 0; k < k_all; ++k) {
          const std::uint32_t at = descriptor.address(shape.a_mn_major, row, k, element);
          a[row * k_all + k] = number(shape.type, element_at(block, at, element));
        }
      }
    } else {
      const unsigned per = 4 / element, bits = 8 * element;
      for (unsigned l = 0; l < kWarpgroupLanes; ++l) {
        for (unsigned i = 0; i < 4; ++i) {
          for (unsigned h = 0; h < per; ++h) {
            const Place p = a_place(l, i, h, per);
            a[p.row * k_all + p.column] =
                number(shape.type, op.a[l * 4 + i] >> bits * h & (~0U >> (32 - bits)));
          }
        }
      }
    }
    const Descriptor descriptor(op.desc_b);
    for (unsigned k = 0; k < k_all; ++k) {
      for (unsigned column = 0; column < shape.n; ++column) {
        const std::uint32_t at = descriptor.address(shape.b_mn_major, column, k, element);
        b[std::size_t{k} * shape.n + column] = number(shape.b_type, element_at(block, at, element));
      }
    }
  }
};

template <class Sum>
void multiply(const Block& block, WgmmaOp& op) {
  const unsigned n = op.shape.n, k_all = depth(op.shape.type), registers = n / 2;
  const Operands<Sum> operands(block, op);
  std::vector<Sum> d(std::size_t{kRows} * n, 0);
  const auto for_each_register = [&](auto visit) {
    for (unsigned l = 0; l < kWarpgroupLanes; ++l) {
      for (unsigned r = 0; r < registers; ++r) {
        const Place p = place(l, r);
        visit(d[std::size_t{p.row} * n + p.column], static_cast<Sum*>(op.d[l])[r]);
      }
    }
  };
  if (op.scale_d) for_each_register([](Sum& sum, const Sum& held) { sum = held; });
  for (unsigned row = 0; row < kRows; ++row) {
    for (unsigned k = 0; k < k_all; ++k) {
      const Sum a = operands.a[row * k_all + k];
      const Sum* b = &operands.b[std::size_t{k} * n];
      Sum* to = &d[std::size_t{row} * n];
      for (unsigned column = 0; column < n; ++column) to[column] += a * b[column];
    }
  }
  for_each_register([](const Sum& sum, Sum& held) { held = sum; });
}

// Until it has run, an operation leaves poison in the accumulators: reading them is a mistake.
void poison_accumulators(WgmmaOp& op) {
  const unsigned registers = op.shape.n / 2;
  op.saved.resize(std::size_t{kWarpgroupLanes} * registers);
  for (unsigned l = 0; l < kWarpgroupLanes; ++l) {
    std::memcpy(&op.saved[std::size_t{l} * registers], op.d[l], registers * 4);
    std::memset(op.d[l], 0xff, registers * 4);
  }
}

void execute(const Block& block, WgmmaOp& op) {
  const unsigned registers = op.shape.n / 2;
  for (unsigned l = 0; l < kWarpgroupLanes && !op.saved.empty(); ++l) {
    std::memcpy(op.d[l], &op.saved[std::size_t{l} * registers], registers * 4);
  }
  if (op.shape.type == Type::kS8) {
    multiply<std::int32_t>(block, op);
  } else {
    multiply<float>(block, op);
  }
  op.done = true;
}

struct Arguments {
  WgmmaShape shape;
  void* d;
  const std::uint32_t* a;
  std::uint64_t desc_a, desc_b;
  bool scale_d;

  bool agrees(const Arguments& o) const {
    return shape.type == o.shape.type && shape.b_type == o.shape.b_type && shape.n == o.shape.n &&
           shape.a_mn_major == o.shape.a_mn_major && shape.b_mn_major == o.shape.b_mn_major &&
           (a == nullptr) == (o.a == nullptr) && (a != nullptr || desc_a == o.desc_a) &&
           desc_b == o.desc_b && scale_d == o.scale_d;
  }
};

WgmmaOp collect(const Lanes& lanes) {
  const auto* first = lanes.get<Arguments>(0);
  WgmmaOp op{};
  op.shape = first->shape;
  op.desc_a = first->desc_a;
  op.desc_b = first->desc_b;
  op.scale_d = first->scale_d;
  if (first->a != nullptr) op.a.resize(std::size_t{kWarpgroupLanes} * 4);
  for (unsigned l = 0; l < kWarpgroupLanes; ++l) {
    const auto* lane = lanes.get<Arguments>(l);
    if (!lane->agrees(*first)) {
      fail("%s: the threads of the warpgroup disagree on descriptors or flags", kName);
    }
    op.d[l] = lane->d;
    if (lane->a != nullptr) std::copy_n(lane->a, 4, &op.a[std::size_t{l} * 4]);
  }
  return op;
}

Warpgroup& warpgroup() {
  return me().block->warpgroups[me().linear / kWarpgroupLanes];
}

// Checks that the async proxy may read the operands, now and until they are waited for.
void begin_reading(WgmmaOp& op, const Lanes& lanes) {
  Block& block = *me().block;
  if (op.a.empty()) {
    add_chunks(Descriptor(op.desc_a), op.shape, op.shape.a_mn_major, kRows, op.chunks);
  }
  add_chunks(Descriptor(op.desc_b), op.shape, op.shape.b_mn_major, op.shape.n, op.chunks);
  static Clocks known;
  if (checking_races) {
    known.clear();
    for (unsigned l = 0; l < kWarpgroupLanes; ++l) {
      known.join(static_cast<Fiber*>(lanes.thread[l])->clocks);
    }
  }
  for (const std::uint32_t chunk : op.chunks) {
    shared_at(block, chunk, 16, 16, kName);
    require_async_sees(block, chunk, 16, kName);
    if (checking_races) block.shadow.engine_begins(known, chunk - kSharedBase, 16, kName);
  }
}

bool accumulators_in_use(const Warpgroup& group, const void* d) {
  const auto uses = [&](const WgmmaOp& op) { return op.d[0] == d && !op.done; };
  const auto any = [&](const auto& ops) { return std::any_of(ops.begin(), ops.end(), uses); };
  return any(group.products.open) ||
         std::any_of(group.products.committed.begin(), group.products.committed.end(), any);
}

bool all_done(const Warpgroup& group) {
  const auto done = [](const WgmmaOp& op) { return op.done; };
  const auto all = [&](const auto& ops) { return std::all_of(ops.begin(), ops.end(), done); };
  return all(group.products.open) &&
         std::all_of(group.products.committed.begin(), group.products.committed.end(), all);
}

void issue(Lanes& lanes) {
  Warpgroup& group = warpgroup();
  WgmmaOp op = collect(lanes);
  if (!group.fenced) {
    fail("%s without a wgmma.fence since the accumulators were last touched", kName);
  }
  if (!wgmma_has_n(op.shape.type, op.shape.n)) {
    fail("%s: the hardware has no N = %u for this type", kName, op.shape.n);
  }
  const bool narrow = op.shape.type == Type::kF16 || op.shape.type == Type::kBf16;
  if (!narrow && (op.shape.a_mn_major || op.shape.b_mn_major)) {
    fail("%s: only 16-bit operands may be MN-major", kName);
  }
  begin_reading(op, lanes);
  if (all_done(group) && completes_now()) {
    execute(*me().block, op);
  } else if (!accumulators_in_use(group, op.d[0])) {
    poison_accumulators(op);
  }
  group.products.open.push_back(std::move(op));
}

void wait(Lanes& lanes) {
  const unsigned pending = *lanes.get<unsigned>(0);
  Block& block = *me().block;
  Warpgroup& group = warpgroup();
  auto& groups = group.products.committed;
  // Every thread of the warpgroup knows that all of it has read the operands.
  const std::uint32_t time = ++group.finished;
  const unsigned clock = warpgroup_clock(me());
  while (groups.size() > pending) {
    for (WgmmaOp& op : groups.front()) {
      if (!op.done) execute(block, op);
      for (const std::uint32_t chunk : op.chunks) {
        if (checking_races) block.shadow.engine_ended(clock, time, chunk - kSharedBase, 16);
      }
    }
    groups.pop_front();
  }
  for (unsigned l = 0; l < kWarpgroupLanes && checking_races; ++l) {
    static_cast<Fiber*>(lanes.thread[l])->clocks.seen[clock] = time;
  }
  if (pending == 0) group.fenced = false;
}

}  // namespace

bool wgmma_has_n(Type type, unsigned n) {
  if (n < 8 || n > 256 || n % 8 != 0) return false;
  return type != Type::kS8 || n == 8 || n == 24 || n % 16 == 0;
}

void wgmma_fence() {
  warpgroup_collective("wgmma.fence", nullptr, [](Lanes& lanes) {
    require_together("wgmma.fence", lanes);
    warpgroup().fenced = true;
  });
}

void wgmma_commit() {
  warpgroup_collective("wgmma.commit_group", nullptr,
                       [](Lanes&) { warpgroup().products.commit(); });
}

void wgmma_wait(unsigned pending_groups) {
  warpgroup_collective("wgmma.wait_group", &pending_groups, wait);
}

void wgmma(WgmmaShape shape, void* d, const std::uint32_t* a, std::uint64_t desc_a,
           std::uint64_t desc_b, bool scale_d) {
  Arguments mine{shape, d, a, desc_a, desc_b, scale_d};
  warpgroup_collective(kName, &mine, issue);
}

}  // namespace emu
