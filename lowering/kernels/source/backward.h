// The backward call: forward's values again, then the units from each term's last to its first.
#pragma once

#include "engine.h"

// Where gradients come from and go; null where one is not asked for. `add`: for each value, whether
// its gradient is added to what is there.
template <class T>
struct Gradients {
  const T* out;
  T* const* values;
  const char* add;
  T* const* weights;
  T* coefficients;
};

template <class T>
class Backward : Engine<T> {
 public:
  Backward(const Plan& plan, const Arrays<T>& arrays, Arena& arena, int threads,
           const Gradients<T>& gradients);
  void run();

 private:
  using Base = Engine<T>;
  static constexpr int L = Base::L;
  // For each thread: the weights' sums, and the slope of each term's unit at hand.
  struct Own {
    std::vector<T*> sums;
    std::vector<Slope<T>> slopes;
  };
  // For each unit and image: sums of g and of g * normalised, for each channel of a step.
  struct Sums {
    double *first, *second;
  };
  const Gradients<T>& gradients_;
  const T* out_;
  std::vector<T*> values_gradients_;
  std::vector<std::vector<Sums>> sums_;
  std::vector<std::vector<T*>> flows_;  // the gradient of each unit's output, normalised
  std::vector<Own> own_;

  void take(size_t t);
  void take(Own& own);
  bool wants(int value) const { return gradients_.values && gradients_.values[value]; }
  bool hands_on(size_t t, size_t u) const { return u || wants(this->plan_.terms[t].value); }
  void start(int thread);
  void replay(Scratch<T>& own, long image);
  void slope(Scratch<T>& own, const Slope<T>& to, size_t t, size_t u);
  void step_back(int thread, size_t t, size_t u, long image);
  void before_window(int thread, size_t t, size_t u, long image, const T* padded);
  void spread(Scratch<T>& own, size_t t, size_t u, long y, long rows, const T* d);
  void window_weights(int thread, size_t t, size_t u, const T* padded);
  void window_back(Scratch<T>& own, size_t t, size_t u, long image);
  void gather(Scratch<T>& own, size_t t, size_t u, long y);
  void hand_on(Scratch<T>& own, size_t t, size_t u, long image, long y, long rows, const T* g);
  void skip(size_t t, long image);
  void finish(int thread);
  void finish_weight(size_t i, int thread);
  void finish_coefficients();
};

template <class T>
Backward<T>::Backward(const Plan& plan, const Arrays<T>& arrays, Arena& arena, int threads,
                      const Gradients<T>& gradients)
    : Base(plan, arrays, arena, threads), gradients_(gradients), out_(gradients.out) {
  this->replay_ = true;
  if (plan.out.channels != plan.out.stride) out_ = arena.take<T>(plan.images * plan.out.size());
  for (size_t v = 0; v < plan.values.size(); ++v) {
    const Shape& shape = plan.values[v];
    values_gradients_.push_back(!wants(int(v)) ? nullptr
                                : shape.channels == shape.stride
                                    ? gradients.values[v]
                                    : arena.take<T>(plan.images * shape.size()));
  }
  for (size_t t = 0; t < plan.terms.size(); ++t) take(t);
  own_.resize(this->threads_);
  for (Own& own : own_) take(own);
}

template <class T>
void Backward<T>::take(size_t t) {
  const std::vector<Unit>& units = this->plan_.terms[t].units;
  auto& sums = sums_.emplace_back();
  auto& flows = flows_.emplace_back();
  for (size_t u = 0; u < std::max<size_t>(1, units.size()); ++u) {
    const long size = this->plan_.images * (units.empty() ? this->plan_.out : units[u].out).step(L);
    sums.push_back({this->arena_.template take<double>(size),
                    this->arena_.template take<double>(size)});
  }
  for (size_t u = 0; u < units.size(); ++u) {
    const Unit& unit = units[u];
    const long size = this->plan_.images * unit.middle.size();
    const bool last = u + 1 == units.size();
    const long made = this->plan_.images * unit.out.size();
    flows.push_back(last ? nullptr : this->arena_.template take<T>(made));
    const bool maximum = unit.window == kMaximum;
    this->which_[t].push_back(maximum ? this->arena_.template take<T>(size) : nullptr);
  }
}

template <class T>
void Backward<T>::take(Own& own) {
  for (size_t i = 0; i < this->weights_.size(); ++i)
    own.sums.push_back(this->arena_.template take<T>(this->weight_size(i)));
  long widest = L;
  for (const Term& term : this->plan_.terms)
    for (const Unit& unit : term.units) widest = std::max(widest, unit.out.step(L));
  for (size_t t = 0; t < this->plan_.terms.size(); ++t)
    own.slopes.push_back({this->arena_.template take<T>(widest),
                          this->arena_.template take<T>(widest),
                          this->arena_.template take<T>(widest)});
}

template <class T>
void Backward<T>::run() {
#pragma omp parallel num_threads(this->threads_)
  {
    const int thread = omp_get_thread_num();
    Scratch<T>& own = this->scratch_[thread];
    const long first = this->first(thread), end = this->first(thread + 1);
    start(thread);
#pragma omp barrier
    for (long image = first; image < end; ++image) replay(own, image);
    const size_t levels = gradients_.values || gradients_.weights ? this->plan_.depth : 0;
    for (size_t u = levels; u-- > 0;) {
#pragma omp barrier
      for (size_t t = 0; t < this->plan_.terms.size(); ++t)
        if (u < this->plan_.terms[t].units.size()) slope(own, own_[thread].slopes[t], t, u);
      for (long image = first; image < end; ++image)
        for (size_t t = 0; t < this->plan_.terms.size(); ++t)
          if (u < this->plan_.terms[t].units.size()) step_back(thread, t, u, image);
    }
#pragma omp barrier
    finish(thread);
  }
}

template <class T>
void Backward<T>::start(int thread) {
  this->prepare(thread);
  Scratch<T>& own = this->scratch_[thread];
  const T *mean = this->arrays_.mean, *variance = this->arrays_.variance;
  for (const Unit* unit : this->plan_.norms) {
    this->make_scale(own.scales[unit->norm_index], *unit, mean, variance);
    mean += unit->out.channels, variance += unit->out.channels;
  }
  for (size_t i = 0; i < own_[thread].sums.size(); ++i) {
    std::fill(own_[thread].sums[i], own_[thread].sums[i] + this->weight_size(i), T(0));
  }
  if (out_ != gradients_.out)
    this->widen(gradients_.out, this->plan_.out, const_cast<T*>(out_), thread);
  for (size_t v = 0; v < values_gradients_.size(); ++v) {
    const long size = this->plan_.values[v].size();
    const bool kept = wants(int(v)) && gradients_.add[v] && values_gradients_[v] == gradients_.values[v];
    if (values_gradients_[v] && !kept)
      std::fill(values_gradients_[v] + this->first(thread) * size,
                values_gradients_[v] + this->first(thread + 1) * size, T(0));
  }
}

// Every unit's output again, and the sums that the last norms and the coefficients need.
template <class T>
void Backward<T>::replay(Scratch<T>& own, long image) {
  const Shape& out = this->plan_.out;
  const T* g = out_ + image * out.size();
  const long step = out.step(L);
  for (size_t t = 0; t < this->plan_.terms.size(); ++t) {
    const std::vector<Unit>& units = this->plan_.terms[t].units;
    double* first = sums_[t].back().first + image * step;
    double* second = sums_[t].back().second + image * step;
    std::fill(first, first + step, 0.0), std::fill(second, second + step, 0.0);
    for (size_t u = 0; u + 1 < units.size(); ++u)
      this->unit_forward(own, t, u, image, [](long, const T*, long) {});
    if (units.empty()) {
      add_products(g, this->result(t, image), this->identity_, out.size(), step, first, second);
      skip(t, image);
      continue;
    }
    const Scale<T>& scale = this->scale(own, units.back());
    this->unit_forward(own, t, units.size() - 1, image, [&](long at, const T* y, long size) {
      add_products(g + at, y, scale, size, step, first, second);
    });
  }
}

// A term without units: its value's gradient.
template <class T>
void Backward<T>::skip(size_t t, long image) {
  const Term& term = this->plan_.terms[t];
  if (!wants(term.value)) return;
  const long size = this->plan_.out.size();
  const T* g = out_ + image * size;
  T* to = values_gradients_[term.value] + image * size;
  const T factor = this->arrays_.coefficients[t];
  for (long at = 0; at < size; at += L) store(to + at, load(to + at) + load(g + at) * factor);
}

// The constants that take a unit's gradient through its norm, from the sums over all images.
template <class T>
void Backward<T>::slope(Scratch<T>& own, const Slope<T>& to, size_t t, size_t u) {
  const std::vector<Unit>& units = this->plan_.terms[t].units;
  const Unit& unit = units[u];
  const Scale<T>& scale = this->scale(own, unit);
  const double factor = u + 1 == units.size() ? double(this->arrays_.coefficients[t]) : 1.0;
  const long step = unit.out.step(L), stride = unit.out.stride;
  const long parts = this->plan_.images * (step / stride);
  const double count = double(this->plan_.images * unit.out.height * unit.out.width);
  for (long c = 0; c < stride; ++c) {
    double first = 0, second = 0;
    for (long p = 0; p < parts && unit.norm; ++p)
      first += sums_[t][u].first[c + p * stride], second += sums_[t][u].second[c + p * stride];
    const double inverse = double(scale.inverse[c]);
    for (long at = c; at < step; at += stride) {
      to.a[at] = T(factor * inverse);
      to.b[at] = T(-factor * inverse * inverse * second / count);
      to.d[at] = T(-factor * inverse * first / count);
    }
  }
}

template <class T>
void Backward<T>::step_back(int thread, size_t t, size_t u, long image) {
  Scratch<T>& own = this->scratch_[thread];
  const Unit& unit = this->plan_.terms[t].units[u];
  if (u) {
    const long step = unit.in.step(L);
    const Sums& sums = sums_[t][u - 1];
    std::fill(sums.first + image * step, sums.first + (image + 1) * step, 0.0);
    std::fill(sums.second + image * step, sums.second + (image + 1) * step, 0.0);
  }
  const bool read = unit.window == kDepthwise || (unit.window != kNone && unit.product);
  const T* padded = read && gradients_.weights ? this->pad(own, t, u, image) : nullptr;
  before_window(thread, t, u, image, padded);
  if (unit.window == kNone) return;
  if (unit.window == kDepthwise && gradients_.weights) window_weights(thread, t, u, padded);
  if (hands_on(t, u)) window_back(own, t, u, image);
}

// Through norm and product; the window's gradient goes to its slot, or, without one, further back.
template <class T>
void Backward<T>::before_window(int thread, size_t t, size_t u, long image, const T* padded) {
  Scratch<T>& own = this->scratch_[thread];
  const std::vector<Unit>& units = this->plan_.terms[t].units;
  const Unit& unit = units[u];
  const Slope<T>& slope = own_[thread].slopes[t];
  const T* g = (u + 1 == units.size() ? out_ : flows_[t][u]) + image * unit.out.size();
  const T* y = this->outputs_[t][u] + image * unit.out.size();
  const long rows = this->chunk_rows(unit), row = unit.out.row(), step = unit.out.step(L);
  for (long top = 0; top < unit.out.height; top += rows) {
    const long now = std::min(rows, unit.out.height - top);
    const Scale<T> only{nullptr, slope.a, slope.d};
    if (unit.norm)
      before_norm(g + top * row, y + top * row, this->scale(own, unit), slope, now * row, step,
                  own.d);
    else
      activate(g + top * row, own.d, now * row, step, &only, false);
    const T* d = own.d;
    if (unit.product) {
      const long count = now * unit.middle.width / unit.pack;
      T* sums = own_[thread].sums[unit.matrix];
      if (unit.dense()) {
        spread(own, t, u, top, now, d);
        const long next = unit.stride[0] * this->plan_.slots[unit.source].row();
        const Rows walk{now, count / now, next, row};
        for (long i = 0; gradients_.weights && i < unit.points(); ++i)
          add_outer(padded + top * next + unit.forward.offset[i], d, walk, unit.inner(),
                    unit.outer(), sums + i * unit.inner() * unit.outer());
        continue;
      }
      if (gradients_.weights)
        add_outer(this->before_product(own, t, u, image, padded, top, now), d,
                  Row{count}, unit.inner(), unit.outer(), sums);
      const T* weight = this->weights_[unit.matrix].backward;
      // Rows of a few pixels leave much of a tile empty: they are copied into their slot.
      const bool wide = count / now >= 16;
      if (wide && (unit.window == kDepthwise || unit.window == kMaximum)) {
        const Slot& slot = this->plan_.slots[unit.back];
        for (long y = top; y < top + now; ++y)
          product(d + (y - top) * row, Here(), weight, count / now, unit.outer(), unit.inner(),
                  own.slots[unit.back] + slot.at(y, 0));
        continue;
      }
      product(d, Here(), weight, count, unit.outer(), unit.inner(), own.a);
      d = own.a;
    }
    if (unit.window != kNone)
      spread(own, t, u, top, now, d);
    else if (hands_on(t, u))
      hand_on(own, t, u, image, top, now, d);
  }
}

// Rows of a window's gradient into its slot, an average's divided by the values under it.
template <class T>
void Backward<T>::spread(Scratch<T>& own, size_t t, size_t u, long y, long rows, const T* d) {
  const Unit& unit = this->plan_.terms[t].units[u];
  const Slot& slot = this->plan_.slots[unit.back];
  const long row = slot.shape.row();
  for (long r = 0; r < rows; ++r) {
    T* to = own.slots[unit.back] + slot.at(y + r, 0);
    if (unit.window != kAverage) {
      std::memcpy(to, d + r * row, row * sizeof(T));
      continue;
    }
    const Counts<T>& counts = this->counts_[t][u];
    for (long at = 0; at < row; at += L)
      store(to + at, load(d + r * row + at) * (load(counts.columns + at) * counts.rows[y + r]));
  }
}

template <class T>
void Backward<T>::window_weights(int thread, size_t t, size_t u, const T* padded) {
  Scratch<T>& own = this->scratch_[thread];
  const Unit& unit = this->plan_.terms[t].units[u];
  const Slot& from = this->plan_.slots[unit.source];
  const Slot& back = this->plan_.slots[unit.back];
  const T* d = own.slots[unit.back];
  const long step = unit.in.step(L);
  T* sums = own_[thread].sums[unit.depthwise];
  const Rows rows{unit.middle.height, unit.middle.row() / step, unit.stride[0] * from.row(),
                  back.row()};
  correlate(padded, unit.forward.offset.data(), unit.taps(), d + back.at(0, 0), rows, step, sums);
}

template <class T>
void Backward<T>::window_back(Scratch<T>& own, size_t t, size_t u, long image) {
  const Unit& unit = this->plan_.terms[t].units[u];
  if (unit.window == kMaximum) {
    const T* which = this->which_[t][u] + image * unit.middle.size();
    for (long y = 0; y < unit.middle.height; ++y)
      this->put(this->plan_.slots[unit.which], own.slots[unit.which], y,
                which + y * unit.middle.row());
  }
  for (long y = 0; y < unit.in.height; ++y) {
    gather(own, t, u, y);
    hand_on(own, t, u, image, y, 1, own.row);
  }
}

// One row of the gradient of a window's input, phase by phase of its columns.
template <class T>
void Backward<T>::gather(Scratch<T>& own, size_t t, size_t u, long y) {
  const Unit& unit = this->plan_.terms[t].units[u];
  const long base = y / unit.stride[0] * this->plan_.slots[unit.back].row();
  const long step = unit.in.step(L), stride = unit.in.stride, phases = unit.stride[1];
  for (long phase = 0; phase < phases; ++phase) {
    const TapList& taps = unit.backward[y % unit.stride[0] * phases + phase];
    const long pixels = (unit.in.width - phase + phases - 1) / phases;
    T* to = phases == 1 ? own.row : own.columns;
    const T* d = own.slots[unit.back] + base;
    if (unit.dense()) {
      const T* weight = this->weights_[unit.matrix].backward;
      product(d, Taps(taps), weight + taps.before * unit.outer() * unit.inner(),
              pixels / unit.pack, unit.outer(), unit.inner(), to);
    } else if (unit.window == kMaximum)
      chosen_row(d, own.slots[unit.which] + base, taps, pixels * stride / step, step, to);
    else
      weighted_row(d, taps,
                   unit.window == kDepthwise ? this->weights_[unit.depthwise].forward
                                             : this->counts_[t][u].ones,
                   pixels * stride / step, step, to);
    for (long x = 0; phases > 1 && x < pixels; ++x)
      std::memcpy(own.row + (x * phases + phase) * stride, to + x * stride, stride * sizeof(T));
  }
}

// Rows of the gradient of unit u's input: to the value, or to the unit before and its sums.
template <class T>
void Backward<T>::hand_on(Scratch<T>& own, size_t t, size_t u, long image, long y, long rows,
                          const T* g) {
  const Term& term = this->plan_.terms[t];
  const Unit& unit = term.units[u];
  const long row = unit.in.row(), size = rows * row, step = unit.in.step(L);
  const long at = image * unit.in.size() + y * row;
  const T* x = this->input(t, u, image) + y * row;
  if (!u) return add_masked(g, unit.relu ? x : nullptr, size, values_gradients_[term.value] + at);
  const Unit& before = term.units[u - 1];
  const Scale<T>& scale = this->scale(own, before);
  T* to = flows_[t][u - 1] + at;
  if (unit.relu)
    mask_scaled(g, x, scale, size, step, to);
  else
    std::memcpy(to, g, size * sizeof(T));
  const Sums& sums = sums_[t][u - 1];
  if (before.norm)
    add_products(to, x, scale, size, step, sums.first + image * step, sums.second + image * step);
}

template <class T>
void Backward<T>::finish(int thread) {
  if (thread == 0 && gradients_.coefficients) finish_coefficients();
  for (size_t i = 0; gradients_.weights && i < this->weights_.size(); ++i)
    finish_weight(i, thread);
  for (size_t v = 0; v < values_gradients_.size(); ++v) {
    if (!wants(int(v)) || values_gradients_[v] == gradients_.values[v]) continue;
    const Shape& shape = this->plan_.values[v];
    const long pixels = shape.height * shape.width;
    for (long image = this->first(thread); image < this->first(thread + 1); ++image)
      (gradients_.add[v] ? add_narrow<T> : restride<T>)(
          values_gradients_[v] + image * shape.size(), shape.stride,
          gradients_.values[v] + image * pixels * shape.channels, shape.channels, pixels);
  }
}

// The threads' sums in their order, and the packed pixels', in the weight's own layout.
template <class T>
void Backward<T>::finish_weight(size_t i, int thread) {
  const auto& [unit, depthwise] = this->plan_.weights[i];
  if (!depthwise && long(i) != unit->matrix) return;  // with the first half
  const long step = unit->in.step(L), outer = unit->outer(), stride = unit->middle.stride;
  const long parts = depthwise ? step / unit->in.stride : unit->pack;
  const long row = depthwise ? step : outer;
  const long part = depthwise ? unit->in.stride : stride * outer + unit->out.stride;
  const long channels = depthwise ? unit->in.channels : unit->out.channels;
  const long others = depthwise ? unit->taps() : unit->middle.channels;
  const long first = channels * thread / this->threads_;
  const long end = channels * (thread + 1) / this->threads_;
  const long alone = unit->points() / unit->halves();  // taps of a half
  for (long c = first; c < end; ++c) {
    const long half = depthwise ? 0 : unit->half(c);
    T* to = gradients_.weights[i + half] + (c - half * (channels / 2)) * others * alone;
    for (long k = 0; k < others; ++k)
      for (long tap = half; tap < half + alone; ++tap, ++to) {
        const long from = (tap * unit->inner() + k) * row + c;
        *to = 0;
        for (long p = 0; p < parts; ++p) {
          T sum = own_[0].sums[i][from + p * part];
          for (size_t other = 1; other < own_.size(); ++other)
            sum += own_[other].sums[i][from + p * part];
          *to += sum;
        }
      }
  }
}

template <class T>
void Backward<T>::finish_coefficients() {
  const long size = this->plan_.images * this->plan_.out.step(L);
  for (size_t t = 0; t < sums_.size(); ++t) {
    double total = 0;
    for (long at = 0; at < size; ++at) total += sums_[t].back().second[at];
    gradients_.coefficients[t] = T(total);
  }
}
