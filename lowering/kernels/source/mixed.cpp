// Mixed sums of a supernet on the CPU, for Python's ctypes: raw pointers, NHWC pictures.

#include <mutex>

#include "backward.h"
#include "forward.h"

namespace {

std::mutex calls;  // one call at a time: they share the scratch
Arena arena;

template <class T>
int threads_for(const Plan& plan, int threads) {
  return int(std::max(1L, std::min(plan.images, long(threads))));
}

template <class T>
void forward(const Plan& plan, int threads, const Arrays<T>& arrays, T* out) {
  const std::lock_guard<std::mutex> lock(calls);
  arena.reset();
  Forward<T>(plan, arrays, arena, threads_for<T>(plan, threads), out).run();
}

template <class T>
void backward(const Plan& plan, int threads, const Arrays<T>& arrays,
              const Gradients<T>& gradients) {
  const std::lock_guard<std::mutex> lock(calls);
  arena.reset();
  Backward<T>(plan, arrays, arena, threads_for<T>(plan, threads), gradients).run();
}

}  // namespace

extern "C" {

// A plan for calls in float32 (bytes 4) or float64 (8); see Plan::read for the code.
void* nasir_plan(const long* code, const double* eps, int bytes) {
  return new Plan(code, eps, kVectorBytes / bytes);
}

// The number of kept windows, and the values each takes.
long nasir_kept(const void* plan, long* sizes) {
  const Plan& made = *static_cast<const Plan*>(plan);
  for (const Unit* unit : made.kept) *sizes++ = made.images * unit->middle.size();
  return long(made.kept.size());
}

void nasir_forget(void* plan) { delete static_cast<Plan*>(plan); }

void nasir_forward_float(const void* plan, int threads, const Arrays<float>* arrays, float* out) {
  forward(*static_cast<const Plan*>(plan), threads, *arrays, out);
}

void nasir_forward_double(const void* plan, int threads, const Arrays<double>* arrays,
                          double* out) {
  forward(*static_cast<const Plan*>(plan), threads, *arrays, out);
}

void nasir_backward_float(const void* plan, int threads, const Arrays<float>* arrays,
                          const Gradients<float>* gradients) {
  backward(*static_cast<const Plan*>(plan), threads, *arrays, *gradients);
}

void nasir_backward_double(const void* plan, int threads, const Arrays<double>* arrays,
                           const Gradients<double>* gradients) {
  backward(*static_cast<const Plan*>(plan), threads, *arrays, *gradients);
}

// Hands the scratch memory back to the system.
void nasir_release() {
  const std::lock_guard<std::mutex> lock(calls);
  arena.release();
}
}
