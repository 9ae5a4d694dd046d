# libtorch as the target ritz::torch, found by its folder: the TorchConfig.cmake inside PyPI's wheel
# insists on a CUDA toolkit that a CPU program does not need. Read by ritz's own build and by
# find_package(ritz).
if(NOT EXISTS "${RITZ_TORCH_ROOT}/include/ATen/ATen.h")
  message(FATAL_ERROR "RITZ_TORCH_ROOT: expected a folder with libtorch's include/ and lib/, found "
                      "'${RITZ_TORCH_ROOT}'. './dev deps' installs one.")
endif()

add_library(ritz::torch INTERFACE IMPORTED GLOBAL)
target_include_directories(ritz::torch SYSTEM INTERFACE
  "${RITZ_TORCH_ROOT}/include" "${RITZ_TORCH_ROOT}/include/torch/csrc/api/include")
target_compile_definitions(ritz::torch INTERFACE USE_C10D_GLOO USE_DISTRIBUTED)
target_link_options(ritz::torch INTERFACE
  "-Wl,-rpath,${RITZ_TORCH_ROOT}/lib"
  # libtorch_cpu.so names two small CUDA libraries that the wheel expects beside itself; the loader
  # finds them by its own run path, the linker need not.
  "-Wl,--allow-shlib-undefined")
target_link_libraries(ritz::torch INTERFACE
  "${RITZ_TORCH_ROOT}/lib/libtorch_cpu.so" "${RITZ_TORCH_ROOT}/lib/libc10.so")

# CUDA where this libtorch has it. './dev deps' removes the wheel's, whose own libraries it leaves out.
set(RITZ_CUDA OFF)
if(EXISTS "${RITZ_TORCH_ROOT}/lib/libtorch_cuda.so")
  set(RITZ_CUDA ON)
  # Nothing refers to its symbols: it registers itself when loaded, so the linker must not drop it.
  target_link_libraries(ritz::torch INTERFACE
    "-Wl,--no-as-needed" "${RITZ_TORCH_ROOT}/lib/libtorch_cuda.so" "${RITZ_TORCH_ROOT}/lib/libc10_cuda.so"
    "-Wl,--as-needed")
endif()
message(STATUS "libtorch: ${RITZ_TORCH_ROOT} (CUDA ${RITZ_CUDA})")
