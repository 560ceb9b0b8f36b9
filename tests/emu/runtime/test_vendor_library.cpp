// The contract: a vendor library is loaded when first used, from the first place that has it, and
// where it is missing the message lists every place that was tried.

#include <dlfcn.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/cuda/vendor/library.h"
#include "tests/catch.h"
#include "tests/folder.h"

using minidl::kernels::cuda::VendorLibrary;
using minidl::test::Folder;

namespace {

// Any shared library will do as a vendor's: the one that cos() is in.
std::string some_library() {
  Dl_info info{};
  double (*function)(double) = std::cos;
  REQUIRE(dladdr(reinterpret_cast<void*>(function), &info) != 0);
  return std::filesystem::canonical(info.dli_fname).string();
}

VendorLibrary fake_blas() {
  return VendorLibrary({"FakeBLAS", "libfake_blas.so.1", {"fake"}, "the package fake-blas"});
}

class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("a missing library is an Error that lists what was tried", "[vendor]") {
  const Folder folder;
  const Variable home("CUDA_HOME", folder.path());
  const Variable path("MINIDL_CUDA_LIBRARY_PATH", folder.path() + ":/nowhere");
  VendorLibrary library = fake_blas();
  CHECK_FALSE(library.available());
  const std::string why = library.why_not();
  for (const std::string& part :
       {std::string("FakeBLAS was not found"), folder / "libfake_blas.so.1",
        std::string("/nowhere/libfake_blas.so.1"), folder / "lib64/libfake_blas.so.1",
        std::string("/usr/lib/x86_64-linux-gnu/libfake_blas.so.1"),
        std::string("install the package fake-blas")}) {
    CHECK_THAT(why, Contains(part));
  }
  CHECK_THROWS_WITH(library.get<void()>("fake_create"), Contains("fake_create: FakeBLAS"));
}

TEST_CASE("the first place that has a library wins", "[vendor]") {
  const Folder home;
  const Folder first;
  std::filesystem::create_directories(home / "lib64");
  std::filesystem::create_symlink(some_library(), home / "lib64/libfake_blas.so.1");
  const Variable cuda_home("CUDA_HOME", home.path());
  {
    VendorLibrary library = fake_blas();
    CHECK(library.available());
    CHECK(library.why_not().empty());
    CHECK(library.path() == home / "lib64/libfake_blas.so.1");
    CHECK(library.get<double(double)>("cos")(0) == 1);
    CHECK_THROWS_WITH(library.get<void()>("fake_create"),
                      Contains("has no such function") && Contains("newer FakeBLAS"));
  }
  std::filesystem::create_symlink(some_library(), first / "libfake_blas.so.1");
  const Variable path("MINIDL_CUDA_LIBRARY_PATH", first.path());
  CHECK(fake_blas().path() == first / "libfake_blas.so.1");
}

TEST_CASE("a library that is there but does not load is told apart", "[vendor]") {
  const Folder folder;
  minidl::test::write_bytes(folder / "libfake_blas.so.1", "not a library");
  const Variable path("MINIDL_CUDA_LIBRARY_PATH", folder.path());
  VendorLibrary library = fake_blas();
  CHECK_FALSE(library.available());
  CHECK_THAT(library.why_not(), Contains("it is there, but"));
}
