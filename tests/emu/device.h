// Instructions that kernels execute, as functions: the host bodies of kernels/cuda/ptx/*.cuh and of
// the keywords in cuda/*.h call these. They act on the current thread. Mistakes end the thread and
// are thrown by run().
#pragma once

#include <cstddef>
#include <cstdint>

#include "thread.h"

namespace emu {

/// Ends the launch with an Error that names the kernel and, inside it, the thread.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// --- Warps, blocks, clusters

/// The threads that execute an instruction together, each with a pointer to its operands. Lanes
/// that take no part are null.
struct Lanes {
  void* operand[128];
  Thread* thread[128];
  std::uint32_t mask;
  unsigned count;  // 32 or 128

  template <class Operand>
  Operand* get(unsigned lane) const {
    return static_cast<Operand*>(operand[lane]);
  }
};

/// Waits until every lane of `mask` is here; the last one calls execute for all.
void warp_collective(const char* name, std::uint32_t mask, void* operand, void (*execute)(Lanes&));
void warpgroup_collective(const char* name, void* operand, void (*execute)(Lanes&));

void sync_warp(std::uint32_t mask);
/// bar.sync and bar.arrive. 0 threads: the whole block.
void barrier_sync(unsigned id, unsigned threads);
void barrier_arrive(unsigned id, unsigned threads);

struct BarrierVotes {
  unsigned count;  // of the threads whose predicate held
  bool all, any;
};
BarrierVotes barrier_vote(bool predicate);

/// barrier.cluster.arrive + wait, both .aligned.
void cluster_sync();
unsigned cluster_rank();
unsigned cluster_size();
/// mapa: the shared::cluster address that `address` has in another block.
std::uint32_t cluster_address(std::uint32_t address, unsigned rank);
void load_shared_cluster(std::uint32_t address, void* to, unsigned bytes);
void store_shared_cluster(std::uint32_t address, const void* from, unsigned bytes);

/// setmaxnreg: `registers` is checked, nothing else.
void set_max_registers(unsigned registers);

/// For loops that poll: a thread that sees the same value at the same address again lets others
/// run.
void polled(const void* address, std::uint64_t value);
void nanosleep();

// --- Shared memory

void* dynamic_shared();
void* static_shared(const void* key, std::size_t bytes, std::size_t align);
std::uint32_t shared_address(const void* p);

template <class T, class Tag>
T& static_shared() {
  static char key = 0;  // one per declaration
  return *static_cast<T*>(static_shared(&key, sizeof(T), alignof(T) > 16 ? alignof(T) : 16));
}

/// For the race checker: the current thread accesses its block's shared memory in a way that the
/// compiler did not instrument.
void on_read(const void* p, std::size_t bytes);
void on_write(const void* p, std::size_t bytes);

/// A global address that an instruction takes: aligned, and readable as far as AddressSanitizer
/// can tell.
void* global_at(const void* p, std::size_t bytes, std::size_t align, const char* what);

// --- cp.async

void cp_async(std::uint32_t to, const void* from, unsigned bytes, unsigned source_bytes);
void cp_async_commit();
void cp_async_wait(unsigned pending_groups);
void cp_async_wait_all();

// --- Matrices in registers

enum class Type : std::uint8_t { kF16, kBf16, kTf32, kS8, kE4m3, kE5m2 };

/// ldmatrix and stmatrix .m8n8.b16 of 1, 2 or 4 matrices.
void ldmatrix(std::uint32_t* to, unsigned matrices, bool transposed, std::uint32_t address);
void stmatrix(std::uint32_t address, const std::uint32_t* from, unsigned matrices, bool transposed);

/// mma.sync.m16n8kK.row.col, d += a b. K follows from the type (16 and 8 for f16, 16 for bf16, 8
/// for tf32); a holds 16 * K elements by warp, b K * 8.
void mma_m16n8(Type type, unsigned k, float* d, const std::uint32_t* a, const std::uint32_t* b);
void mma_m16n8k32_s8(std::int32_t* d, const std::uint32_t* a, const std::uint32_t* b);

// --- mbarrier

void mbarrier_init(std::uint32_t barrier, unsigned count);
void mbarrier_invalidate(std::uint32_t barrier);
void mbarrier_arrive(std::uint32_t barrier);  // shared::cta or shared::cluster
void mbarrier_expect(std::uint32_t barrier, unsigned bytes);
bool mbarrier_test(std::uint32_t barrier, unsigned parity);
void mbarrier_wait(std::uint32_t barrier, unsigned parity);
void fence_mbarrier_init();
void fence_proxy_async();

// --- Bulk copies: TMA with tensor maps, and without

/// `multicast` has a bit per block of the cluster; 0: the own block, not multicast.
void tma_load(std::uint32_t to, const void* map, std::uint32_t barrier, unsigned rank,
              const std::int32_t* coordinates, std::uint16_t multicast);
void tma_load_im2col(std::uint32_t to, const void* map, std::uint32_t barrier, unsigned rank,
                     const std::int32_t* coordinates, const std::uint16_t* offsets,
                     std::uint16_t multicast);
void tma_store(const void* map, std::uint32_t from, unsigned rank, const std::int32_t* coordinates);

enum class Reduction : std::uint8_t { kAdd, kMin, kMax };
void tma_reduce(Reduction operation, const void* map, std::uint32_t from, unsigned rank,
                const std::int32_t* coordinates);

void bulk_load(std::uint32_t to, const void* from, std::uint32_t bytes, std::uint32_t barrier);
void bulk_store(void* to, std::uint32_t from, std::uint32_t bytes);
/// `to` and `barrier` are shared::cluster addresses in one block.
void bulk_copy_cluster(std::uint32_t to, std::uint32_t from, std::uint32_t bytes,
                       std::uint32_t barrier);
void bulk_commit();
/// Until at most that many groups have not read their source, or have not written everything.
void bulk_wait_read(unsigned pending_groups);
void bulk_wait(unsigned pending_groups);

// --- wgmma

struct WgmmaShape {
  Type type, b_type;  // of A and B, which differ in fp8 only
  unsigned n;
  bool a_mn_major = false, b_mn_major = false;
};

/// Which N the hardware has: multiples of 8 up to 256; s8 8, 24 and multiples of 16.
bool wgmma_has_n(Type type, unsigned n);

void wgmma_fence();
void wgmma_commit();
void wgmma_wait(unsigned pending_groups);
/// d (n / 2 registers, f32 or s32) = a b + (scale_d ? d : 0). A comes from registers if `a` is not
/// null (4 of them), else from shared memory.
void wgmma(WgmmaShape shape, void* d, const std::uint32_t* a, std::uint64_t desc_a,
           std::uint64_t desc_b, bool scale_d);

}  // namespace emu
