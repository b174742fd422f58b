// Mixed sums of a supernet on the CPU, for Python's ctypes: raw pointers, NHWC images.

#include <mutex>

#include "call.h"

namespace {

std::mutex calls;  // one call at a time: they share the scratch
Arena arena;

template <class T>
void forward(const void* call, int threads, const Arrays<T>* arrays, T* out) {
  const std::lock_guard<std::mutex> lock(calls);
  static_cast<const Call*>(call)->forward(arena, threads, *arrays, out);
}

template <class T>
void backward(const void* call, int threads, const Arrays<T>* arrays,
              const Gradients<T>* gradients) {
  const std::lock_guard<std::mutex> lock(calls);
  static_cast<const Call*>(call)->backward(arena, threads, *arrays, *gradients);
}

}  // namespace

extern "C" {

// A call's plan in float32 (bytes 4) or float64 (8); see Plan::read for the code.
void* nasir_plan(const long* code, const double* norms, int bytes) {
  return new Call(code, norms, kVectorBytes / bytes);
}

// The values that forward keeps for backward.
long nasir_kept(const void* call) { return static_cast<const Call*>(call)->kept(); }

void nasir_forget(void* call) { delete static_cast<Call*>(call); }

void nasir_forward_float(const void* call, int threads, const Arrays<float>* arrays, float* out) {
  forward(call, threads, arrays, out);
}

void nasir_forward_double(const void* call, int threads, const Arrays<double>* arrays,
                          double* out) {
  forward(call, threads, arrays, out);
}

void nasir_backward_float(const void* call, int threads, const Arrays<float>* arrays,
                          const Gradients<float>* gradients) {
  backward(call, threads, arrays, gradients);
}

void nasir_backward_double(const void* call, int threads, const Arrays<double>* arrays,
                           const Gradients<double>* gradients) {
  backward(call, threads, arrays, gradients);
}

// Hands the scratch memory back to the system.
void nasir_release() {
  const std::lock_guard<std::mutex> lock(calls);
  arena.release();
}
}
