// A call as parts, one for each value with the terms that start from it: they share its padded
// image, and a part's scratch is a fraction of the whole's and stays in the cache.
#pragma once

#include <cstring>
#include <memory>

#include "backward.h"
#include "forward.h"

// A part's plan, and where in the whole call's arrays its own begin.
struct Part {
  std::unique_ptr<Plan> plan;
  long value = 0, term = 0, weight = 0, kept = 0, channel = 0, norm = 0;
  bool first = false;  // of those with its value
};

class Call {
 public:
  Call(const long* code, const double* norms, long lanes);

  template <class T>
  void forward(Arena& arena, int threads, const Arrays<T>& arrays, T* out) const;
  template <class T>
  void backward(Arena& arena, int threads, const Arrays<T>& arrays,
                const Gradients<T>& gradients) const;

  // The values kept for backward.
  long kept() const { return kept_; }

 private:
  long images_, kept_;
  std::vector<long> values_;  // the values' sizes
  std::vector<Part> parts_;
  std::vector<bool> read_;  // the values that some term starts from
  std::vector<long> weights_, running_;  // their sizes

  template <class T>
  static Arrays<T> from(const Part& part, const Arrays<T>& all);
};

// Pointers to arrays of these sizes: as given, or, where the first is all of them, one after the
// other.
template <class T>
class Pointers {
 public:
  Pointers(T* const* given, const std::vector<long>& sizes, bool flat) : given_(given) {
    if (!flat || !given) return;
    T* next = *given;
    for (const long size : sizes) made_.push_back(next), next += size;
    given_ = made_.data();
  }
  T* const* get() const { return given_; }

 private:
  T* const* given_;
  std::vector<T*> made_;
};

inline Call::Call(const long* code, const double* norms, long lanes) : images_(*code++) {
  const long values = *code++;
  const long* shapes = code;
  for (long v = 0; v < values; ++v, code += 3)
    values_.push_back(images_ * code[0] * code[1] * code[2]);
  read_.resize(values);
  Part next;
  for (long left = *code++; left;) {
    const long value = *code;
    std::vector<long> own{images_, 1};
    own.insert(own.end(), shapes + 3 * value, shapes + 3 * value + 3);
    own.push_back(0);
    long terms = 0, units = 0;
    for (; left && *code == value; --left, ++terms) {
      const long* end = code + 2 + code[1] * kUnitCode;
      own.push_back(0);
      own.insert(own.end(), code + 1, end);
      units += code[1], code = end;
    }
    own[5] = terms;
    Part part{std::make_unique<Plan>(own.data(), norms, lanes), value, next.term,
              next.weight, next.kept, next.channel, next.norm, !read_[value]};
    norms += 2 * units;
    next.term += terms;
    next.weight += long(part.plan->weights.size());
    next.kept += part.plan->kept;
    for (size_t i = 0; i < part.plan->weights.size(); ++i)
      weights_.push_back(part.plan->weight_values(i));
    for (const Unit* unit : part.plan->norms) {
      next.channel += unit->out.channels;
      running_.insert(running_.end(), 2, unit->out.channels);
    }
    next.norm += long(part.plan->norms.size());
    read_[value] = true;
    parts_.push_back(std::move(part));
  }
  kept_ = next.kept;
}

template <class T>
Arrays<T> Call::from(const Part& part, const Arrays<T>& all) {
  return {all.values + part.value,
          all.weights + part.weight,
          all.coefficients + part.term,
          all.kept ? all.kept + part.kept : nullptr,
          all.mean + part.channel,
          all.variance + part.channel,
          all.running ? all.running + 2 * part.norm : nullptr,
          0,
          0};
}

template <class T>
void Call::forward(Arena& arena, int threads, const Arrays<T>& arrays, T* out) const {
  const Pointers weights(arrays.weights, weights_, arrays.flat_weights);
  const Pointers running(arrays.running, running_, arrays.flat_running);
  Arrays<T> all = arrays;
  all.weights = weights.get(), all.running = running.get();
  for (const Part& part : parts_) {
    const Arrays<T> own = from(part, all);
    arena.reset();
    Forward<T>(*part.plan, own, arena, threads, out, &part != parts_.data()).run();
  }
}

template <class T>
void Call::backward(Arena& arena, int threads, const Arrays<T>& arrays,
                    const Gradients<T>& gradients) const {
  const Pointers weights(arrays.weights, weights_, arrays.flat_weights);
  const Pointers moved(gradients.weights, weights_, arrays.flat_weights);
  Arrays<T> all = arrays;
  all.weights = weights.get();
  for (const Part& part : parts_) {
    const Arrays<T> own = from(part, all);
    const char add = !part.first || gradients.add[part.value];
    const Gradients<T> to{gradients.out,
                          gradients.values ? gradients.values + part.value : nullptr,
                          &add,
                          moved.get() ? moved.get() + part.weight : nullptr,
                          gradients.coefficients ? gradients.coefficients + part.term : nullptr};
    arena.reset();
    Backward<T>(*part.plan, own, arena, threads, to).run();
  }
  for (size_t v = 0; gradients.values && v < values_.size(); ++v)
    if (!read_[v] && gradients.values[v] && !gradients.add[v])
      std::fill(gradients.values[v], gradients.values[v] + values_[v], T(0));
}
