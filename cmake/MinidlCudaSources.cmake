# minidl_add_cuda_sources(TARGET FILE...): adds CUDA sources of your own to a target, compiled as
# minidl's are: by nvcc, by the C++ compiler for the emulator, or, in a build without CUDA, not at
# all. TARGET's sources see MINIDL_HAS_CUDA as 1, or 0 in the last case.
#
# Call it at file scope, in the directory of the target: it enables the language CUDA where that is
# needed. Comes with minidl, through find_package and add_subdirectory alike.
#
#     add_executable(program main.cpp)
#     target_link_libraries(program PRIVATE minidl::minidl)
#     minidl_add_cuda_sources(program kernel.cu)
#
# What minidl was built with is in these properties of minidl::minidl: MINIDL_CUDA (ON, OFF or
# EMULATED), MINIDL_NVCC, MINIDL_NVCC_HOST, MINIDL_NVCC_ARCHITECTURES, MINIDL_EMULATOR, MINIDL_RACE.
macro(minidl_add_cuda_sources target)
  get_target_property(minidl_built_with_cuda minidl::minidl MINIDL_CUDA)
  if(minidl_built_with_cuda STREQUAL "ON")
    if(NOT CMAKE_CUDA_COMPILER_LOADED)
      minidl_take_setting(CMAKE_CUDA_COMPILER MINIDL_NVCC)
      minidl_take_setting(CMAKE_CUDA_HOST_COMPILER MINIDL_NVCC_HOST)
      minidl_take_setting(CMAKE_CUDA_ARCHITECTURES MINIDL_NVCC_ARCHITECTURES)
      enable_language(CUDA)
    endif()
    # The target may be older than the language.
    set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
    find_package(CUDAToolkit REQUIRED)
    minidl_nvcc_objects(${target} ${ARGN})
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
    target_compile_definitions(${target} PRIVATE MINIDL_HAS_CUDA=1)
  elseif(minidl_built_with_cuda STREQUAL "EMULATED")
    minidl_emulated_sources(${target} ${ARGN})
    target_compile_definitions(${target} PRIVATE MINIDL_HAS_CUDA=1)
  else()
    target_compile_definitions(${target} PRIVATE MINIDL_HAS_CUDA=0)
  endif()
endmacro()

# minidl_take_setting(VARIABLE PROPERTY): what minidl was built with, unless the user says
# otherwise.
macro(minidl_take_setting variable property)
  if(NOT ${variable})
    get_target_property(${variable} minidl::minidl ${property})
  endif()
endmacro()

# minidl_nvcc_objects(TARGET FILE...): the files get a target of their own, TARGET_cuda, because
# nvcc takes other options, and come in as objects.
function(minidl_nvcc_objects target)
  set(kernels ${target}_cuda)
  add_library(${kernels} OBJECT ${ARGN})
  set_target_properties(${kernels} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(
    ${kernels} PRIVATE $<TARGET_PROPERTY:minidl::minidl,INTERFACE_INCLUDE_DIRECTORIES>
                       $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
  target_compile_options(${kernels} PRIVATE -std=c++20 --expt-relaxed-constexpr
                         -Xcompiler=-Wall,-Wextra)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${kernels} PRIVATE -Xcompiler=-Wno-restrict)  # see MinidlSettings
  endif()
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    target_compile_options(${kernels} PRIVATE -O2)
  endif()
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${kernels}>)
endfunction()

# minidl_emulated_sources(TARGET FILE...): adds CUDA sources, or C++ files that contain kernels, to
# the target, compiled for the host.
function(minidl_emulated_sources target)
  get_target_property(header minidl::minidl MINIDL_EMULATOR)
  get_target_property(race minidl::minidl MINIDL_RACE)
  set(options -xc++ -include ${header} -Wno-unknown-pragmas)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    list(APPEND options -Wno-restrict)
  endif()
  if(race)
    # Only the calls that it inserts: tests/emu/tsan_hooks.cpp takes libtsan's place.
    list(APPEND options -fsanitize=thread)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      list(APPEND options --param=tsan-distinguish-volatile=1
           --param=tsan-instrument-func-entry-exit=0 -Wno-tsan)
    else()
      list(APPEND options "SHELL:-mllvm -tsan-distinguish-volatile=1")
    endif()
  endif()
  set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target}
                              PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${options}")
  target_sources(${target} PRIVATE ${ARGN})
  target_link_libraries(${target} PRIVATE minidl::minidl_emulator)
endfunction()
