// Mixed sums of a supernet on the CPU, for Python's ctypes: raw pointers, NHWC images.

#include <mutex>

#include "call.h"

namespace {

std::mutex calls;  // one call at a time: they share the scratch
Arena arena;

// The threads of a call: each has its images, so that all regions must get as many as the first
// one. There may be fewer than wanted: without OpenMP, or where its limit is lower.
class Team {
 public:
  explicit Team(int wanted) {
#if defined(_OPENMP)
    omp_set_dynamic(0);
#pragma omp parallel num_threads(wanted)
#pragma omp single
    threads = omp_get_num_threads();
#endif
  }
#if defined(_OPENMP)
  ~Team() { omp_set_dynamic(dynamic_); }
#endif
  int threads = 1;

 private:
#if defined(_OPENMP)
  const int dynamic_ = omp_get_dynamic();
#endif
};

template <class T>
void forward(const void* call, int threads, const Arrays<T>* arrays, T* out) {
  const std::lock_guard<std::mutex> lock(calls);
  const Team team(threads);  // to its end: the call's regions get as many
  static_cast<const Call*>(call)->forward(arena, team.threads, *arrays, out);
}

template <class T>
void backward(const void* call, int threads, const Arrays<T>* arrays,
              const Gradients<T>* gradients) {
  const std::lock_guard<std::mutex> lock(calls);
  const Team team(threads);  // to its end: the call's regions get as many
  static_cast<const Call*>(call)->backward(arena, team.threads, *arrays, *gradients);
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
