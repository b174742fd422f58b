// What forward and backward share: a call's arrays, each thread's scratch, and one unit's forward.
#pragma once

#if defined(_OPENMP)
#include <omp.h>
#else
inline int omp_get_thread_num() { return 0; }
#endif

#include <cmath>
#include <vector>

#include "arena.h"
#include "plan.h"
#include "product.h"
#include "rows.h"

constexpr long kChunk = 2048;  // values of an image worked on at a time: they stay in L1

// What Python hands over; the arrays of pointers have one entry for each value, weight, kept
// output.
template <class T>
struct Arrays {
  const T* const* values;
  const T* const* weights;
  const T* coefficients;
  T* kept;  // null: nothing is kept
  T *mean, *variance;
  T* const* running;  // of each norm the running mean and variance to move; null: none
  long flat_weights, flat_running;  // whether the first pointer is all, one after the other
};

// One thread's own memory. `holds` says which image a value's slot was filled from.
template <class T>
struct Scratch {
  std::vector<T*> slots;
  std::vector<long> holds;
  T *a, *d, *row, *columns;
  std::vector<Scale<T>> scales;  // by norm
  std::vector<char> nan;         // by slot: whether a maximum meets any
};

template <class T>
struct Weight {
  T *forward = nullptr, *backward = nullptr;
};

// A window's averages: ones for its taps, and one over the number of values under it, which is
// the product of a row's and a column's part.
template <class T>
struct Counts {
  T *ones, *rows, *columns;
};

template <class T>
class Engine {
 public:
  static constexpr int L = Lanes<T>::count;

  Engine(const Plan& plan, const Arrays<T>& arrays, Arena& arena, int threads);

 protected:
  const Plan& plan_;
  const Arrays<T>& arrays_;
  Arena& arena_;
  int threads_;
  std::vector<const T*> values_;          // with padded channels
  std::vector<std::vector<T*>> outputs_;  // each unit's, before its norm
  std::vector<std::vector<T*>> which_;    // each maximum's taps (backward)
  std::vector<std::vector<Counts<T>>> counts_;
  std::vector<Weight<T>> weights_;
  std::vector<Scratch<T>> scratch_;
  Scale<T> identity_;
  bool replay_ = false;  // backward makes the forward's values again

  T* zeros(long count);
  long weight_size(size_t i) const {
    const auto& [unit, depthwise] = plan_.weights[i];
    if (depthwise) return unit->taps() * unit->in.step(L);
    if (long(i) != unit->matrix) return 0;  // a second half lies with the first
    return unit->points() * unit->inner() * unit->outer();
  }
  bool is_kept(const Unit& unit) const { return arrays_.kept && unit.kept >= 0; }
  long first(int thread) const { return plan_.images * thread / threads_; }
  const Scale<T>& scale(const Scratch<T>& own, const Unit& unit) const {
    return unit.norm ? own.scales[unit.norm_index] : identity_;
  }
  const T* input(size_t t, size_t u, long image) const;
  const T* result(size_t t, long image) const;
  long chunk_rows(const Unit& unit) const;

  void take_term(size_t t);
  Counts<T> take_counts(const Unit& unit);
  void take_scratch(Scratch<T>& own);
  void make_scale(const Scale<T>& scale, const Unit& unit, const T* mean, const T* variance);
  void widen(const T* from, const Shape& shape, T* to, int thread);
  void fill_margins(const Slot& slot, T* to);
  void prepare(int thread);
  void prepare_weight(size_t i, int thread);
  const T* pad(Scratch<T>& own, size_t t, size_t u, long image);
  void put(const Slot& slot, T* to, long y, const T* row);
  void window(Scratch<T>& own, size_t t, size_t u, long image, const T* padded, long y, T* out);
  const T* before_product(Scratch<T>& own, size_t t, size_t u, long image, const T* padded, long y,
                          long rows);
  template <class Each>
  void unit_forward(Scratch<T>& own, size_t t, size_t u, long image, Each&& each);
};

template <class T>
T* Engine<T>::zeros(long count) {
  T* made = arena_.take<T>(count);
  std::fill(made, made + count, T(0));
  return made;
}

template <class T>
Engine<T>::Engine(const Plan& plan, const Arrays<T>& arrays, Arena& arena, int threads)
    : plan_(plan), arrays_(arrays), arena_(arena),
      threads_(int(std::max(1L, std::min(plan.images, long(threads))))) {
  long widest = L;
  for (size_t v = 0; v < plan.values.size(); ++v) {
    const Shape& shape = plan.values[v];
    widest = std::max(widest, shape.stride);
    values_.push_back(shape.channels == shape.stride
                          ? arrays.values[v]
                          : arena.take<T>(plan.images * shape.size()));
  }
  for (const Term& term : plan.terms)
    for (const Unit& unit : term.units) widest = std::max(widest, unit.out.step(L));
  identity_ = {zeros(widest), zeros(widest), zeros(widest)};
  std::fill(identity_.inverse, identity_.inverse + widest, T(1));
  for (size_t t = 0; t < plan.terms.size(); ++t) take_term(t);
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    const bool depthwise = plan.weights[i].second;
    const Unit& unit = *plan.weights[i].first;
    const long size = weight_size(i);
    weights_.push_back({arena.take<T>(size), depthwise ? nullptr : arena.take<T>(size)});
    const bool whole = unit.inner() == unit.middle.channels && unit.outer() == unit.out.channels;
    if (depthwise || (whole && unit.halves() == 1))
      continue;
    std::fill(weights_[i].forward, weights_[i].forward + size, T(0));
    std::fill(weights_[i].backward, weights_[i].backward + size, T(0));
  }
  scratch_.resize(threads_);
  for (Scratch<T>& own : scratch_) take_scratch(own);
}

template <class T>
void Engine<T>::take_term(size_t t) {
  auto& outputs = outputs_.emplace_back();
  auto& counts = counts_.emplace_back();
  which_.emplace_back();
  const Term& term = plan_.terms[t];
  for (size_t u = 0; u < term.units.size(); ++u) {
    const Unit& unit = term.units[u];
    const bool alias = !u && !unit.relu && unit.window == kNone && !unit.product;
    outputs.push_back(alias           ? const_cast<T*>(values_[term.value])
                      : is_kept(unit) ? arrays_.kept + unit.kept
                                      : arena_.take<T>(plan_.images * unit.out.size()));
    counts.push_back(unit.window == kAverage ? take_counts(unit) : Counts<T>{});
  }
}

template <class T>
Counts<T> Engine<T>::take_counts(const Unit& unit) {
  const long ones = unit.taps() * unit.in.step(L);
  Counts<T> made{arena_.take<T>(ones), arena_.take<T>(unit.middle.height),
                 arena_.take<T>(unit.middle.row())};
  std::fill(made.ones, made.ones + ones, T(1));
  for (int axis = 0; axis < 2; ++axis) {
    const long size = axis ? unit.in.width : unit.in.height;
    const long length = axis ? unit.middle.width : unit.middle.height;
    const long channels = axis ? unit.middle.stride : 1;
    for (long i = 0; i < length; ++i) {
      long valid = 0;
      for (long k = 0; k < unit.kernel[axis]; ++k) {
        const long at = i * unit.stride[axis] + k * unit.dilation[axis] - unit.padding[axis];
        valid += at >= 0 && at < size;
      }
      T* to = (axis ? made.columns : made.rows) + i * channels;
      std::fill(to, to + channels, T(1) / T(valid));
    }
  }
  return made;
}

template <class T>
void Engine<T>::take_scratch(Scratch<T>& own) {
  long longest = kChunk;
  for (const Term& term : plan_.terms)
    for (const Unit& unit : term.units)
      longest = std::max({longest, unit.in.row(), unit.middle.row(), unit.out.row()});
  own.a = arena_.take<T>(longest), own.d = arena_.take<T>(longest);
  own.row = arena_.take<T>(longest), own.columns = arena_.take<T>(longest);
  for (const Slot& slot : plan_.slots) own.slots.push_back(arena_.take<T>(slot.size() + L));
  own.holds.assign(plan_.slots.size(), -1);
  own.nan.assign(plan_.slots.size(), 0);
  for (const Unit* unit : plan_.norms) {
    const long step = unit->out.step(L);
    own.scales.push_back({arena_.take<T>(step), arena_.take<T>(step), arena_.take<T>(step)});
  }
}

// A scale from the rounded mean and variance, so that backward has what forward had.
template <class T>
void Engine<T>::make_scale(const Scale<T>& scale, const Unit& unit, const T* mean,
                           const T* variance) {
  for (long c = 0; c < unit.out.step(L); ++c) {
    const long channel = c % unit.out.stride;
    const bool real = channel < unit.out.channels;
    scale.mean[c] = real ? mean[channel] : T(0);
    scale.inverse[c] = real ? T(1.0 / std::sqrt(double(variance[channel]) + unit.eps)) : T(0);
    scale.shift[c] = -scale.mean[c] * scale.inverse[c];
  }
}

template <class T>
void Engine<T>::widen(const T* from, const Shape& shape, T* to, int thread) {
  const long pixels = shape.height * shape.width;
  for (long n = first(thread); n < first(thread + 1); ++n)
    restride(from + n * pixels * shape.channels, shape.channels, to + n * shape.size(),
             shape.stride, pixels);
}

// A slot's margins; what is inside them is written with each image.
template <class T>
void Engine<T>::fill_margins(const Slot& slot, T* to) {
  const T border = slot.minimum ? -std::numeric_limits<T>::infinity() : T(0);
  T* end = to + slot.size() + L;
  if (slot.phases > 1) return std::fill(to, end, border);
  for (long y = 0; y < slot.shape.height; ++y) {
    T* row = to + slot.at(y, 0);
    std::fill(y ? row - slot.left * slot.shape.stride : to, row, border);
    row += slot.shape.row();
    std::fill(row, y + 1 < slot.shape.height ? row + slot.right * slot.shape.stride : end, border);
  }
}

// Fills one thread's part of what must be ready before the first unit: margins, weights, values.
template <class T>
void Engine<T>::prepare(int thread) {
  for (size_t i = 0; i < plan_.slots.size(); ++i)
    fill_margins(plan_.slots[i], scratch_[thread].slots[i]);
  for (size_t i = 0; i < weights_.size(); ++i) prepare_weight(i, thread);
  for (size_t v = 0; v < values_.size(); ++v)
    if (values_[v] != arrays_.values[v])
      widen(arrays_.values[v], plan_.values[v], const_cast<T*>(values_[v]), thread);
}

// Depthwise (C, 1, h, w) to (taps, step); others (Cout, Cin, h, w) to (taps, inner, outer) and, for
// each phase of the input, to (taps, outer, inner), with one block for each packed pixel.
// Each thread does its share of the rows.
template <class T>
void Engine<T>::prepare_weight(size_t i, int thread) {
  const auto& [unit, depthwise] = plan_.weights[i];
  if (depthwise) {
    if (long(i) % threads_ != thread) return;
    const T* from = arrays_.weights[i];
    const long step = unit->in.step(L);
    for (long tap = 0; tap < unit->taps(); ++tap)
      for (long c = 0; c < step; ++c) {
        const long channel = c % unit->in.stride;
        weights_[i].forward[tap * step + c] =
            channel < unit->in.channels ? from[channel * unit->taps() + tap] : T(0);
      }
    return;
  }
  const long inner = unit->inner(), outer = unit->outer(), points = unit->points();
  const long channels = unit->middle.channels, stride = unit->middle.stride;
  if (long(i) != unit->matrix) return;  // with the first half
  const long first = unit->out.channels * thread / threads_;
  const long end = unit->out.channels * (thread + 1) / threads_;
  const long alone = points / unit->halves();  // taps of a half
  const auto each = [&](auto&& body) {
    for (long o = first; o < end; ++o) {
      const long half = unit->half(o);
      const T* from =
          arrays_.weights[i + half] + (o - half * (unit->out.channels / 2)) * channels * alone;
      for (long p = 0; p < unit->pack; ++p) body(o, p, half, from);
    }
  };
  if (!replay_ || !is_kept(*unit))
    each([&](long o, long p, long half, const T* from) {
      T* to = weights_[i].forward + p * stride * outer + p * unit->out.stride + o;
      for (long k = 0; k < channels; ++k)
        for (long tap = 0; tap < alone; ++tap)
          to[((half + tap) * inner + k) * outer] = from[k * alone + tap];
    });
  if (!replay_) return;
  T* to = weights_[i].backward;
  const auto hand_back = [&](const int* taps, long count) {
    each([&](long o, long p, long half, const T* from) {
      for (long n = 0; n < count; ++n) {
        const long tap = taps[n] - half;
        T* at = to + n * outer * inner + (p * unit->out.stride + o) * inner + p * stride;
        for (long k = 0; tap >= 0 && tap < alone && k < channels; ++k) at[k] = from[k * alone + tap];
      }
    });
    to += count * outer * inner;
  };
  const int only = 0;
  if (!unit->dense()) return hand_back(&only, 1);
  for (const TapList& list : unit->backward) hand_back(list.index.data(), long(list.index.size()));
}

// What unit `u` reads: its term's value, or the output of the unit before, not yet normalised.
template <class T>
const T* Engine<T>::input(size_t t, size_t u, long image) const {
  const Term& term = plan_.terms[t];
  const T* from = u ? outputs_[t][u - 1] : values_[term.value];
  return from + image * (u ? term.units[u - 1].out.size() : plan_.values[term.value].size());
}

// A term's last output, not yet normalised.
template <class T>
const T* Engine<T>::result(size_t t, long image) const {
  return input(t, plan_.terms[t].units.size(), image);
}

template <class T>
long Engine<T>::chunk_rows(const Unit& unit) const {
  const long row = std::max(unit.middle.row(), unit.out.row());
  return std::min(unit.middle.height, std::max(1L, kChunk / row));
}

template <class T>
void Engine<T>::put(const Slot& slot, T* to, long y, const T* row) {
  const long stride = slot.shape.stride;
  if (slot.phases == 1)
    std::memcpy(to + slot.at(y, 0), row, slot.shape.row() * sizeof(T));
  else
    for (long x = 0; x < slot.shape.width; ++x)
      std::memcpy(to + slot.at(y, x), row + x * stride, stride * sizeof(T));
}

// Unit `u`'s input image, normalised and rectified, with margins.
template <class T>
const T* Engine<T>::pad(Scratch<T>& own, size_t t, size_t u, long image) {
  const Unit& unit = plan_.terms[t].units[u];
  const Slot& slot = plan_.slots[unit.source];
  T* to = own.slots[unit.source];
  const T* from = input(t, u, image);
  if (slot.value >= 0 && own.holds[unit.source] == image) return to;
  own.holds[unit.source] = image;
  const Scale<T>* before =
      u && plan_.terms[t].units[u - 1].norm ? &scale(own, plan_.terms[t].units[u - 1]) : nullptr;
  const long row = unit.in.row(), step = unit.in.step(L);
  for (long y = 0; y < unit.in.height; ++y) {
    T* straight = slot.phases == 1 ? to + slot.at(y, 0) : own.row;
    activate(from + y * row, straight, row, step, before, unit.relu);
    if (slot.phases > 1) put(slot, to, y, own.row);
  }
  if (slot.minimum)  // backward has a faster way where there is none, but for strides
    own.nan[unit.source] = (replay_ && !unit.forward.run) || has_nan(to, slot.size());
  return to;
}

// One row of a unit's window.
template <class T>
void Engine<T>::window(Scratch<T>& own, size_t t, size_t u, long image, const T* padded, long y,
                       T* out) {
  const Unit& unit = plan_.terms[t].units[u];
  const Slot& slot = plan_.slots[unit.source];
  const T* x = padded + y * unit.stride[0] * slot.row();
  const long step = unit.in.step(L), columns = unit.middle.row() / step;
  if (unit.window == kDepthwise) {
    weighted_row(x, unit.forward, weights_[unit.depthwise].forward, columns, step, out);
  } else if (unit.window == kAverage) {
    const Counts<T>& counts = counts_[t][u];
    weighted_row(x, unit.forward, counts.ones, columns, step, out);
    for (long at = 0; at < unit.middle.row(); at += L)
      store(out + at, load(out + at) * (load(counts.columns + at) * counts.rows[y]));
  } else {
    if (!replay_ && !own.nan[unit.source]) return maximum_row(x, unit.forward, columns, step, out);
    const long at = image * unit.middle.size() + y * unit.middle.row();
    first_maximum_row(x, unit.forward, columns, step, own.nan[unit.source], out,
                      replay_ ? which_[t][u] + at : own.row);
  }
}

// Rows [y, y + rows) of a unit's A, what its product takes.
template <class T>
const T* Engine<T>::before_product(Scratch<T>& own, size_t t, size_t u, long image, const T* padded,
                                   long y, long rows) {
  const Unit& unit = plan_.terms[t].units[u];
  const long row = unit.middle.row();
  if (unit.window == kNone) {
    const Unit* last = u ? &plan_.terms[t].units[u - 1] : nullptr;
    const Scale<T>* before = last && last->norm ? &scale(own, *last) : nullptr;
    const T* from = input(t, u, image) + y * row;
    if (!before && !unit.relu) return from;
    activate(from, own.a, rows * row, unit.in.step(L), before, unit.relu);
    return own.a;
  }
  for (long r = 0; r < rows; ++r) window(own, t, u, image, padded, y + r, own.a + r * row);
  return own.a;
}

// A unit's output before its norm; each(first value, output, size) sees it while it is warm.
template <class T>
template <class Each>
void Engine<T>::unit_forward(Scratch<T>& own, size_t t, size_t u, long image, Each&& each) {
  const Unit& unit = plan_.terms[t].units[u];
  const bool ready = replay_ && is_kept(unit);
  const T* padded = unit.window == kNone || ready ? nullptr : pad(own, t, u, image);
  T* y = outputs_[t][u] + image * unit.out.size();
  const long rows = chunk_rows(unit), row = unit.out.row();
  for (long top = 0; top < unit.out.height; top += rows) {
    const long now = std::min(rows, unit.out.height - top);
    T* out = y + top * row;
    if (ready) {
      // what forward has made
    } else if (unit.dense()) {
      const long next = unit.stride[0] * plan_.slots[unit.source].row();
      for (long r = 0; r < now; ++r)
        product(padded + (top + r) * next, Taps(unit.forward), weights_[unit.matrix].forward,
                unit.middle.width / unit.pack, unit.inner(), unit.outer(), out + r * row);
    } else if (unit.product) {
      const T* a = before_product(own, t, u, image, padded, top, now);
      product(a, Here(), weights_[unit.matrix].forward, now * unit.middle.width / unit.pack, unit.inner(),
              unit.outer(), out);
    } else if (unit.window != kNone) {
      for (long r = 0; r < now; ++r) window(own, t, u, image, padded, top + r, out + r * row);
    } else {
      const T* from = before_product(own, t, u, image, nullptr, top, now);
      if (from != out) std::memcpy(out, from, now * row * sizeof(T));
    }
    each(top * row, out, now * row);
  }
}
