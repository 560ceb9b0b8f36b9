// mbarrier objects: 8 bytes of shared memory that count arrivals of threads and bytes of TMA loads,
// in phases. A phase completes when no arrival and no byte is missing; the next begins at once.
// Phases are told apart by parity: the first one's is 0. And the fences that go with them. Compute
// capability 9.0; barriers are given by shared address.
#pragma once

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// By one thread. Then fence_mbarrier_init() by the same, then a barrier of all who use it.
MINIDL_DEVICE void mbarrier_init(std::uint32_t barrier, std::uint32_t count) {
  MINIDL_PTX_90(emu::mbarrier_init(barrier, count),
                "mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count)
                : "memory");
}

/// Ends the object: its bytes are ordinary memory again.
MINIDL_DEVICE void mbarrier_invalidate(std::uint32_t barrier) {
  MINIDL_PTX_90(emu::mbarrier_invalidate(barrier),
                "mbarrier.inval.shared::cta.b64 [%0];" ::"r"(barrier)
                : "memory");
}

/// Makes initialisations known to TMA and to the other blocks of the cluster.
MINIDL_DEVICE void fence_mbarrier_init() {
  MINIDL_PTX_90(emu::fence_mbarrier_init(), "fence.mbarrier_init.release.cluster;" ::: "memory");
}

/// Makes what ordinary stores have written to shared memory known to TMA stores and wgmma. By the
/// threads that wrote, before the barrier after which somebody issues those.
MINIDL_DEVICE void fence_proxy_async() {
  MINIDL_PTX_90(emu::fence_proxy_async(), "fence.proxy.async.shared::cta;" ::: "memory");
}

MINIDL_DEVICE void mbarrier_arrive(std::uint32_t barrier) {
  MINIDL_PTX_90(emu::mbarrier_arrive(barrier),
                "mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier)
                : "memory");
}

/// The phase shall also wait for `bytes` more of TMA loads, then one arrival.
MINIDL_DEVICE void mbarrier_arrive_expect(std::uint32_t barrier, std::uint32_t bytes) {
  MINIDL_PTX_90((emu::mbarrier_expect(barrier, bytes), emu::mbarrier_arrive(barrier)),
                "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                : "memory");
}

/// Has the phase of this parity completed? Of a new object parity 1 has.
MINIDL_DEVICE bool mbarrier_test(std::uint32_t barrier, std::uint32_t parity) {
#ifdef MINIDL_EMULATED
  return emu::mbarrier_test(barrier, parity);
#else
  std::uint32_t done = 0;
  MINIDL_PTX_90(,
                "{\n"
                ".reg .pred p;\n"
                "mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                "selp.u32 %0, 1, 0, p;\n"
                "}"
                : "=r"(done)
                : "r"(barrier), "r"(parity)
                : "memory");
  return done != 0;
#endif
}

/// Waits for the phase of this parity. With MINIDL_MBARRIER_LIMIT_NS defined, a longer wait traps:
/// test builds rather stop than hang the device.
MINIDL_DEVICE void mbarrier_wait(std::uint32_t barrier, std::uint32_t parity) {
#ifdef MINIDL_EMULATED
  emu::mbarrier_wait(barrier, parity);
#else
#ifdef MINIDL_MBARRIER_LIMIT_NS
  std::uint64_t start, now;
  MINIDL_PTX_90(, "mov.u64 %0, %%globaltimer;" : "=l"(start));
#endif
  std::uint32_t done = 0;
  while (done == 0) {
    MINIDL_PTX_90(,
                  "{\n"
                  ".reg .pred p;\n"
                  "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                  "selp.u32 %0, 1, 0, p;\n"
                  "}"
                  : "=r"(done)
                  : "r"(barrier), "r"(parity)
                  : "memory");
#ifdef MINIDL_MBARRIER_LIMIT_NS
    MINIDL_PTX_90(, "mov.u64 %0, %%globaltimer;" : "=l"(now));
    if (done == 0 && now - start > MINIDL_MBARRIER_LIMIT_NS) __trap();
#endif
  }
#endif
}

}  // namespace minidl::kernels::cuda::ptx
