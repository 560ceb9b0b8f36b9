# What find_package(minidl) finds in the build tree, with -Dminidl_DIR=<build folder>.
include(CMakePackageConfigHelpers)
configure_file(cmake/minidlConfig.cmake.in ${PROJECT_BINARY_DIR}/minidlConfig.cmake @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/minidlConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
set(targets minidl)
if(MINIDL_CUDA STREQUAL "EMULATED")
  list(APPEND targets minidl_emulator minidl_emulated_runtime)
endif()
export(TARGETS ${targets} NAMESPACE minidl:: FILE ${PROJECT_BINARY_DIR}/minidlTargets.cmake)
