# MINIDL_CUDA says who compiles the CUDA sources:
#   AUTO      nvcc, where it works and a GPU is seen; otherwise nobody, and a line says why
#   ON        nvcc, whether there is a GPU or not: such a build runs on the CPU as well
#   OFF       nobody
#   EMULATED  the C++ compiler, and the emulator of tests/emu runs them on the host
set(MINIDL_CUDA AUTO CACHE STRING "CUDA kernels: AUTO, ON, OFF, or EMULATED (for tests)")
set_property(CACHE MINIDL_CUDA PROPERTY STRINGS AUTO ON OFF EMULATED)
option(MINIDL_EMULATED_RACE "Emulated kernels report races on shared memory" OFF)

if(NOT MINIDL_CUDA MATCHES "^(AUTO|ON|OFF|EMULATED)$")
  message(FATAL_ERROR "MINIDL_CUDA=${MINIDL_CUDA} is unknown: take AUTO, ON, OFF or EMULATED")
endif()
if(MINIDL_EMULATED_RACE AND NOT MINIDL_CUDA STREQUAL "EMULATED")
  message(FATAL_ERROR "MINIDL_EMULATED_RACE wants MINIDL_CUDA=EMULATED")
endif()
if(MINIDL_EMULATED_RACE AND MINIDL_SANITIZE)
  message(FATAL_ERROR "MINIDL_EMULATED_RACE and MINIDL_SANITIZE=${MINIDL_SANITIZE} exclude each "
                      "other: the race checker is itself a sanitizer")
endif()

# The headers of a toolkit, or of pip's nvidia-cuda-runtime and nvidia-cuda-crt (with CUDA 12 the
# latter's are in nvidia-cuda-nvcc-cu12). Sets MINIDL_CUDA_INCLUDE_DIRS.
function(minidl_find_cuda_headers)
  set(places $ENV{CUDA_HOME} $ENV{CUDA_PATH} /usr/local/cuda /opt/cuda)
  find_program(python NAMES python3 python NO_CACHE)
  if(python)
    execute_process(COMMAND ${python} -c "import nvidia; print(*nvidia.__path__, sep=';')"
                    OUTPUT_VARIABLE wheels ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    foreach(wheel IN LISTS wheels)
      list(APPEND places ${wheel}/cu13 ${wheel}/cuda_runtime ${wheel}/cuda_nvcc)
    endforeach()
  endif()
  find_path(MINIDL_CUDA_INCLUDE_DIR cuda_runtime.h HINTS ${places} PATH_SUFFIXES include)
  find_path(MINIDL_CUDA_CRT_INCLUDE_DIR crt/host_config.h
            HINTS ${MINIDL_CUDA_INCLUDE_DIR} ${places} PATH_SUFFIXES include)
  mark_as_advanced(MINIDL_CUDA_INCLUDE_DIR MINIDL_CUDA_CRT_INCLUDE_DIR)
  if(NOT MINIDL_CUDA_INCLUDE_DIR)
    message(FATAL_ERROR "MINIDL_CUDA=EMULATED needs CUDA's headers: install a toolkit, or pip's "
                        "nvidia-cuda-runtime and nvidia-cuda-crt, or set MINIDL_CUDA_INCLUDE_DIR")
  endif()
  if(NOT MINIDL_CUDA_CRT_INCLUDE_DIR)
    message(FATAL_ERROR "${MINIDL_CUDA_INCLUDE_DIR} has cuda_runtime.h, but there is no "
                        "crt/host_config.h: with pip, install nvidia-cuda-crt as well")
  endif()
  foreach(header cuda.h cuda_fp16.h cuda_bf16.h)
    if(NOT EXISTS ${MINIDL_CUDA_INCLUDE_DIR}/${header})
      message(FATAL_ERROR "${MINIDL_CUDA_INCLUDE_DIR} has cuda_runtime.h, but no ${header}")
    endif()
  endforeach()
  file(STRINGS ${MINIDL_CUDA_INCLUDE_DIR}/cuda.h version REGEX "^#define CUDA_VERSION [0-9]+")
  string(REGEX MATCH "[0-9]+$" version "${version}")
  math(EXPR major "${version} / 1000")
  math(EXPR minor "${version} % 1000 / 10")
  message(STATUS "CUDA: emulated, headers of ${major}.${minor} in ${MINIDL_CUDA_INCLUDE_DIR}")
  if(version LESS 12000)
    message(FATAL_ERROR "CUDA ${major}.${minor} is too old: kernels need the headers of 12.0")
  endif()
  set(directories ${MINIDL_CUDA_INCLUDE_DIR} ${MINIDL_CUDA_CRT_INCLUDE_DIR})
  list(REMOVE_DUPLICATES directories)
  set(MINIDL_CUDA_INCLUDE_DIRS ${directories} PARENT_SCOPE)
endfunction()

if(MINIDL_CUDA STREQUAL "EMULATED")
  minidl_find_cuda_headers()
elseif(MINIDL_CUDA MATCHES "^(AUTO|ON)$")
  include(MinidlNvcc)
endif()

include(MinidlCudaSources)

# For minidl_add_cuda_sources, here and in projects that use this one.
function(minidl_describe_cuda)
  set_target_properties(minidl PROPERTIES
    MINIDL_CUDA ${MINIDL_CUDA}
    MINIDL_NVCC "${CMAKE_CUDA_COMPILER}"
    MINIDL_NVCC_HOST "${CMAKE_CUDA_HOST_COMPILER}"
    MINIDL_NVCC_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}"
    MINIDL_EMULATOR ${PROJECT_SOURCE_DIR}/tests/emu/cuda_host.h
    MINIDL_RACE ${MINIDL_EMULATED_RACE}
    EXPORT_PROPERTIES "MINIDL_CUDA;MINIDL_NVCC;MINIDL_NVCC_HOST;MINIDL_NVCC_ARCHITECTURES;\
MINIDL_EMULATOR;MINIDL_RACE")
endfunction()
