#include "ritz/optim/inverse_fisher.h"

#include <torch/types.h>

#include <limits>

#include "ritz/base/check_tensor.h"
#include "ritz/base/memory.h"
#include "ritz/optim/detail/gradient_rows.h"

namespace ritz::optim {

using detail::BlockRun;

namespace {

/// Blocks from this width on are handled one at a time, in slabs of columns; narrower ones in
/// batches.
constexpr int64_t kWide = 8192;
/// Numbers of G in a batch of narrow blocks.
constexpr int64_t kBatch = int64_t{1} << 20;

c10::ScalarType compute_type(const Tensor& G, const InverseFisherOptions& options) {
  const auto type =
      options.compute.value_or(G.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  if (type != at::kFloat && type != at::kDouble) {
    throw InvalidArgument("compute", "float32 or float64", dtype_name(type));
  }
  return type;
}

void check_gradients(const Tensor& G, const InverseFisherOptions& options) {
  check_positive("damping", options.damping);
  check_dim("gradients", G, 2);
  const auto type = G.scalar_type();
  if (type != at::kHalf && type != at::kBFloat16 && type != at::kFloat && type != at::kDouble) {
    throw InvalidArgument("gradients", "dtype float16, bfloat16, float32 or float64", describe(G));
  }
  check_at_least("gradients: rows m", G.size(0), 1);
  check_at_least("gradients: columns d", G.size(1), 1);
  check_at_least("block", options.block, 0);
  check_at_least("memory_limit", options.memory_limit, 0);
}

/// Cholesky factor [n, w, w] of symmetric matrices in float64; undefined where one is not positive
/// definite.
Tensor cholesky_factor(const Tensor& A) {
  const auto [C, info] = at::linalg_cholesky_ex(A);
  return info.any().item<bool>() ? Tensor() : C;
}

Tensor inverse_lower(const Tensor& C) {
  return at::linalg_solve_triangular(C, at::eye(C.size(-1), C.options()), /*upper=*/false);
}

/// (lambda I + tile^T tile / m)^-1 for each block, float64 throughout: [n, m, w] -> [n, w, w].
Tensor dense_inverse(const Tensor& tile, double damping) {
  const double m = static_cast<double>(tile.size(1));
  const Tensor G = tile.to(at::kDouble);
  const Tensor H = at::bmm(G.transpose(1, 2), G).div_(m);
  H.diagonal(0, 1, 2).add_(damping);
  const Tensor C = cholesky_factor(H);
  if (!C.defined()) {
    throw NotConverged("damping: " + number_text(damping) +
                       " is lost in the rounding of the block's Fisher matrix; take a larger one");
  }
  const Tensor half = inverse_lower(C);
  return at::bmm(half.transpose(1, 2), half);
}

/// The same by m rank-one updates (Sherman and Morrison), as WoodFisher does it.
Tensor recursive_inverse(const Tensor& tile, double damping) {
  const int64_t m = tile.size(1), w = tile.size(2);
  const Tensor G = tile.to(at::kDouble);
  Tensor inverse = (at::eye(w, G.options()) / damping).repeat({tile.size(0), 1, 1});
  for (int64_t i = 0; i < m; ++i) {
    const Tensor g = G.select(1, i).unsqueeze(2);  // [n, w, 1]
    const Tensor v = at::bmm(inverse, g);
    const Tensor q = at::bmm(g.transpose(1, 2), v) + static_cast<double>(m);  // [n, 1, 1]
    inverse.baddbmm_(v / q, v.transpose(1, 2), 1, -1);
  }
  return inverse;
}

/// One run of blocks. Which tensors are there depends on form and store; all in the dtype of
/// products.
struct Part {
  BlockRun run = {};
  bool dense = false;
  bool wide = false;    // a single block, handled in slabs
  Tensor T = {};        // [count, m, m] lower: V = T G; kept for wide blocks in pages
  Tensor q = {};        // [count, m]
  Tensor inverse = {};  // dense: [count, width, width]
};

/// The inverse on one block: rows (V, or G beside T) and q, or the dense inverse.
struct Block {
  Tensor rows, T, q, inverse;
};

}  // namespace

struct InverseFisher::State {
  State(Tensor gradients, const InverseFisherOptions& options);

  int64_t m() const { return G_.size(0); }
  int64_t d() const { return G_.size(1); }
  TensorOptions options() const { return TensorOptions(compute_).device(G_.device()); }
  bool single() const {
    return !paged_ && parts_.size() == 1 && parts_[0].q.defined() && parts_[0].run.count == 1;
  }

  int64_t chunk(const Part& part) const;
  Part factor(const Tensor& K, const std::function<Tensor()>& again) const;
  Part invert(bool dense, const Tensor& tile) const;
  void build(Part& part);
  Part local(const Part& part, int64_t first, int64_t count, Tensor& rows) const;
  Block block(const Part& part, int64_t index) const;
  void apply(const Part& part, const Tensor& x, const Tensor& y) const;
  void diagonal(const Part& part, const Tensor& out) const;

  Tensor G_, V_;  // V_ [m, d]: columns of dense parts are unused
  InverseFisherOptions options_;
  c10::ScalarType compute_;
  bool paged_ = false;
  std::vector<Part> parts_;
};

InverseFisher::State::State(Tensor gradients, const InverseFisherOptions& options)
    : G_(std::move(gradients)), options_(options) {
  check_gradients(G_, options_);
  const at::NoGradGuard no_graph;
  compute_ = compute_type(G_, options_);
  const int64_t m = G_.size(0), d = G_.size(1);

  const int64_t bytes = m * d * static_cast<int64_t>(c10::elementSize(compute_));
  const bool in_place = options_.overwrite && G_.scalar_type() == compute_;
  int64_t limit = options_.memory_limit;
  if (limit == 0 && G_.is_cpu()) limit = available_memory() / 5 * 4;
  const bool too_large = limit > 0 && bytes > limit && !in_place;
  if (too_large && options_.store == FisherStore::vectors) {
    throw InvalidArgument(
        "gradients",
        "vectors of at most " + std::to_string(limit) +
            " bytes; take pages, half-precision rows in pages, or blocks "
            "narrower than m",
        std::to_string(m) + " x " + std::to_string(d) + ", " + std::to_string(bytes) + " bytes");
  }
  paged_ = options_.store == FisherStore::pages || too_large;

  for (const BlockRun& run : detail::plan_blocks(d, options_.block, options_.segments)) {
    const bool dense = options_.form == FisherForm::automatic
                           ? run.width < m
                           : options_.form != FisherForm::vectors;
    const bool wide = !dense && run.width > kWide;
    // A wide block is a run of its own.
    const int64_t runs = wide ? run.count : 1;
    for (int64_t k = 0; k < runs; ++k) {
      Part part;
      part.run = wide ? BlockRun{run.begin + k * run.width, run.width, 1} : run;
      part.dense = dense;
      part.wide = wide;
      parts_.push_back(std::move(part));
    }
  }
  bool any_vectors = false;
  for (const Part& part : parts_) any_vectors = any_vectors || !part.dense;
  if (!paged_ && any_vectors) {
    V_ = in_place ? G_ : at::empty({m, d}, G_.options().dtype(compute_));
  }
  for (Part& part : parts_) build(part);
  // V replaces it: only its shape is asked for from here on.
  if (!paged_) G_ = V_.defined() ? V_ : G_;
}

int64_t InverseFisher::State::chunk(const Part& part) const {
  if (part.wide) return 1;
  const int64_t m = this->m(), w = part.run.width;
  const int64_t each = part.dense ? std::max(m, w) * w : m * std::max(m, w);
  return std::clamp<int64_t>(kBatch / each, 1, part.run.count);
}

/// T and q out of Gram matrices K [n, m, m]; where these are too rounded to be factorised, out of
/// `again`, the same from products in float64.
Part InverseFisher::State::factor(const Tensor& K, const std::function<Tensor()>& again) const {
  detail::check_rows_finite(K);
  const double lambda = options_.damping;
  const auto shifted = [&](const Tensor& gram) {
    const Tensor S = gram / lambda;
    S.diagonal(0, -2, -1).add_(static_cast<double>(m()));
    return S;
  };
  Tensor C = cholesky_factor(shifted(K));
  if (!C.defined()) C = cholesky_factor(shifted(again()));
  if (!C.defined()) {
    throw NotConverged("damping: " + number_text(lambda) +
                       " is lost in the rounding of the gradients' Gram matrix; take a larger one");
  }
  const Tensor D = C.diagonal(0, -2, -1);
  Part out;
  out.T = (inverse_lower(C) * D.unsqueeze(-1) / lambda).to(compute_);  // D C^-1 = L^-1
  out.q = D.square().to(compute_);
  return out;
}

/// The inverse on a batch of narrow blocks, from their gradients [n, m, w].
Part InverseFisher::State::invert(bool dense, const Tensor& tile) const {
  if (!dense) {
    const auto gram = [](const Tensor& G) { return at::bmm(G, G.transpose(1, 2)).to(at::kDouble); };
    return factor(gram(tile), [&] { return gram(tile.to(at::kDouble)); });
  }
  if (!at::isfinite(tile.sum()).item<bool>()) {
    detail::check_rows_finite(at::diag_embed(tile.square().sum(2)));
  }
  Part out;
  out.inverse = (options_.form == FisherForm::recursion ? recursive_inverse : dense_inverse)(
                    tile, options_.damping)
                    .to(compute_);
  return out;
}

void InverseFisher::State::build(Part& part) {
  const BlockRun& run = part.run;
  if (part.wide) {
    const Tensor G = G_.narrow(1, run.begin, run.width);
    Part found = factor(detail::gram(G, compute_).unsqueeze(0),
                        [&] { return detail::gram(G, at::kDouble).unsqueeze(0); });
    part.q = found.q;
    if (paged_) {
      part.T = found.T;
    } else {
      detail::multiply_lower(found.T[0], G, V_.narrow(1, run.begin, run.width));
    }
    return;
  }
  const int64_t m = this->m(), w = run.width, step = chunk(part);
  if (!paged_) {
    const TensorOptions options = G_.options().dtype(compute_);
    if (part.dense) part.inverse = at::empty({run.count, w, w}, options);
    if (!part.dense) part.q = at::empty({run.count, m}, options);
  }
  detail::for_each_slab(run.count, step, G_, [&](int64_t first, int64_t n) {
    const Tensor tile = detail::gather_blocks(G_, run, first, n, compute_);
    if (paged_) {  // made anew by each product
      detail::check_rows_finite(at::diag_embed(tile.square().sum(2)));
      return;
    }
    const Part found = invert(part.dense, tile);
    if (part.dense) {
      part.inverse.narrow(0, first, n).copy_(found.inverse);
    } else {
      part.q.narrow(0, first, n).copy_(found.q);
      V_.narrow(1, run.begin + first * w, n * w)
          .unflatten(1, {n, w})
          .copy_(at::bmm(found.T, tile).permute({1, 0, 2}));
    }
  });
}

/// The inverse on some narrow blocks, stored or made anew; `rows` becomes V, or G where T is given.
Part InverseFisher::State::local(const Part& part, int64_t first, int64_t n, Tensor& rows) const {
  if (paged_) {
    rows = detail::gather_blocks(G_, part.run, first, n, compute_);
    return invert(part.dense, rows);
  }
  Part found;
  if (part.dense) {
    found.inverse = part.inverse.narrow(0, first, n);
  } else {
    rows = detail::gather_blocks(V_, part.run, first, n, compute_);
    found.q = part.q.narrow(0, first, n);
  }
  return found;
}

void InverseFisher::State::apply(const Part& part, const Tensor& x, const Tensor& y) const {
  const BlockRun& run = part.run;
  if (part.wide) {
    // Cost: 4 m width k flops; reads V (or G) twice.
    const Tensor rows = (paged_ ? G_ : V_).narrow(1, run.begin, run.width);
    Tensor a = detail::times(rows, x.narrow(0, run.begin, run.width));
    if (paged_) a = part.T[0].mm(a);
    a = a / part.q[0].unsqueeze(1);
    if (paged_) a = part.T[0].t().mm(a);
    y.narrow(0, run.begin, run.width).sub_(detail::transposed_times(rows, a));
    return;
  }
  const int64_t w = run.width, k = x.size(1);
  detail::for_each_slab(run.count, chunk(part), G_, [&](int64_t first, int64_t n) {
    const Tensor xs = x.narrow(0, run.begin + first * w, n * w).reshape({n, w, k});
    const Tensor ys = y.narrow(0, run.begin + first * w, n * w).view({n, w, k});
    Tensor rows;
    const Part found = local(part, first, n, rows);
    if (part.dense) {
      ys.copy_(at::bmm(found.inverse, xs));
      return;
    }
    Tensor a = at::bmm(rows, xs);  // [n, m, k]
    if (found.T.defined()) a = at::bmm(found.T, a);
    a = a / found.q.unsqueeze(2);
    if (found.T.defined()) a = at::bmm(found.T.transpose(1, 2), a);
    ys.sub_(at::bmm(rows.transpose(1, 2), a));
  });
}

void InverseFisher::State::diagonal(const Part& part, const Tensor& out) const {
  const BlockRun& run = part.run;
  const double most = 1 / options_.damping;
  if (part.wide) {
    // Cost: 2 m width flops, and T's m^2 width where V is made on the way.
    const Tensor rows = (paged_ ? G_ : V_).narrow(1, run.begin, run.width);
    const Tensor weights = 1 / part.q[0];
    const int64_t slab = detail::slab_width(m(), rows);
    detail::for_each_slab(run.width, slab, rows, [&](int64_t begin, int64_t width) {
      Tensor V = rows.narrow(1, begin, width);
      if (paged_) {
        Tensor made = at::empty({m(), width}, options());
        detail::multiply_lower(part.T[0], V, made);
        V = made;
      }
      const Tensor sums = V.square().t().mv(weights);
      out.narrow(0, run.begin + begin, width).copy_(most - sums);
    });
    return;
  }
  detail::for_each_slab(run.count, chunk(part), G_, [&](int64_t first, int64_t n) {
    Tensor rows;
    const Part found = local(part, first, n, rows);
    const Tensor to = out.narrow(0, run.begin + first * run.width, n * run.width);
    if (part.dense) {
      to.copy_(found.inverse.diagonal(0, 1, 2).reshape(-1));
      return;
    }
    const Tensor V = found.T.defined() ? at::bmm(found.T, rows) : rows;
    to.copy_((most - (V.square() / found.q.unsqueeze(2)).sum(1)).reshape(-1));
  });
}

Block InverseFisher::State::block(const Part& part, int64_t index) const {
  Block found;
  if (part.wide) {
    found.rows = (paged_ ? G_ : V_).narrow(1, part.run.begin, part.run.width);
    found.q = part.q[0];
    if (paged_) found.T = part.T[0];
    return found;
  }
  Tensor rows;
  const Part one = local(part, index, 1, rows);
  if (one.inverse.defined()) found.inverse = one.inverse[0];
  if (rows.defined()) found.rows = rows[0];
  if (one.q.defined()) found.q = one.q[0];
  if (one.T.defined()) found.T = one.T[0];
  return found;
}

InverseFisher::InverseFisher(Tensor gradients, const InverseFisherOptions& options)
    : state_(std::make_shared<const State>(std::move(gradients), options)) {}

int64_t InverseFisher::rows() const {
  return state_->d();
}

TensorOptions InverseFisher::options() const {
  return state_->options();
}

int64_t InverseFisher::gradients() const {
  return state_->m();
}

bool InverseFisher::paged() const {
  return state_->paged_;
}

Tensor InverseFisher::vectors() const {
  return state_->single() ? state_->V_ : Tensor();
}

Tensor InverseFisher::pivots() const {
  return state_->single() ? state_->parts_[0].q[0] : Tensor();
}

Tensor InverseFisher::do_apply(const Tensor& x) const {
  const at::NoGradGuard no_graph;
  const Tensor columns = (x.dim() == 1 ? x.unsqueeze(1) : x).contiguous();
  Tensor y = columns / state_->options_.damping;
  for (const Part& part : state_->parts_) state_->apply(part, columns, y);
  return x.dim() == 1 ? y.squeeze(1) : y;
}

Tensor InverseFisher::diagonal() const {
  const at::NoGradGuard no_graph;
  Tensor out = at::empty({rows()}, options());
  for (const Part& part : state_->parts_) state_->diagonal(part, out);
  const double eps = out.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                      : std::numeric_limits<float>::epsilon();
  return out.clamp_min_(eps / state_->options_.damping);
}

namespace {

Tensor checked_indices(const char* name, const Tensor& indices, int64_t d) {
  check_dim(name, indices, 1);
  if (indices.scalar_type() != at::kLong) {
    throw InvalidArgument(name, "int64 indices", describe(indices));
  }
  if (indices.numel() > 0) {
    check_range(name, indices.min().item<int64_t>(), 0, d - 1);
    check_range(name, indices.max().item<int64_t>(), 0, d - 1);
  }
  return indices.to(at::kCPU).contiguous();
}

}  // namespace

Tensor InverseFisher::elements(const Tensor& j, const Tensor& k) const {
  const at::NoGradGuard no_graph;
  const Tensor js = checked_indices("j", j, rows()), ks = checked_indices("k", k, rows());
  check_shape("k", ks, {js.size(0)});
  const Tensor equal = js.eq(ks).to(options());
  Tensor out = at::zeros({js.size(0)}, options());
  for (const Part& part : state_->parts_) {
    const BlockRun& run = part.run;
    const auto index_of = [&](const Tensor& at) {
      return (at - run.begin).div(run.width, "floor");  // block within the run
    };
    const Tensor bj = index_of(js), bk = index_of(ks);
    const Tensor inside = bj.eq(bk).logical_and(bj.ge(0)).logical_and(bj.lt(run.count));
    const Tensor mine = inside.nonzero().squeeze(1);
    if (mine.numel() == 0) continue;
    const auto blocks = std::get<0>(at::_unique(bj.index_select(0, mine)));
    for (int64_t b = 0; b < blocks.numel(); ++b) {
      const int64_t index = blocks[b].item<int64_t>();
      const Tensor pairs = inside.logical_and(bj.eq(index)).nonzero().squeeze(1);
      const auto within = [&](const Tensor& at) {
        return (at.index_select(0, pairs) - run.begin - index * run.width).to(out.device());
      };
      const Block at = state_->block(part, index);
      const Tensor where = pairs.to(out.device());
      if (at.inverse.defined()) {
        out.index_copy_(0, where, at.inverse.index({within(js), within(ks)}));
        continue;
      }
      const auto column = [&](const Tensor& all) {  // V's columns [m, n]
        const Tensor picked = at.rows.index_select(1, within(all)).to(out.scalar_type());
        return at.T.defined() ? at.T.mm(picked) : picked;
      };
      const Tensor sums = (column(js) * column(ks) / at.q.unsqueeze(1)).sum(0);
      out.index_copy_(0, where, equal.index_select(0, where) / state_->options_.damping - sums);
    }
  }
  return out;
}

Tensor InverseFisher::columns(const Tensor& k) const {
  const at::NoGradGuard no_graph;
  const Tensor ks = checked_indices("k", k, rows());
  Tensor out = at::zeros({rows(), ks.size(0)}, options());
  for (int64_t n = 0; n < ks.size(0); ++n) {
    const int64_t coordinate = ks[n].item<int64_t>();
    for (const Part& part : state_->parts_) {
      const BlockRun& run = part.run;
      const int64_t index = (coordinate - run.begin) / run.width;
      if (coordinate < run.begin || index >= run.count) continue;
      const int64_t begin = run.begin + index * run.width, at = coordinate - begin;
      const Block block = state_->block(part, index);
      const Tensor to = out.select(1, n).narrow(0, begin, run.width);
      if (block.inverse.defined()) {
        to.copy_(block.inverse.select(1, at));
        continue;
      }
      Tensor a = block.rows.narrow(1, at, 1).to(out.scalar_type());  // V e_k needs no product
      if (block.T.defined()) a = block.T.mm(a);
      a = a / block.q.unsqueeze(1);
      if (block.T.defined()) a = block.T.t().mm(a);
      to.copy_(detail::transposed_times(block.rows, a).squeeze(1).neg_());
      to[at] += 1 / state_->options_.damping;
    }
  }
  return out;
}

FisherSpectrum fisher_spectrum(const Tensor& G, const InverseFisherOptions& options) {
  check_gradients(G, options);
  const at::NoGradGuard no_graph;
  const auto compute = compute_type(G, options);
  const int64_t m = G.size(0), d = G.size(1);
  std::vector<Tensor> all;
  for (const BlockRun& run : detail::plan_blocks(d, options.block, options.segments)) {
    if (run.width > kWide) {
      for (int64_t k = 0; k < run.count; ++k) {
        const Tensor K = detail::gram(G.narrow(1, run.begin + k * run.width, run.width), compute);
        detail::check_rows_finite(K);
        all.push_back(at::linalg_eigvalsh(K));
      }
      continue;
    }
    const int64_t step = std::max<int64_t>(1, kBatch / (m * std::max(m, run.width)));
    for (int64_t first = 0; first < run.count; first += step) {
      const int64_t n = std::min(step, run.count - first);
      const Tensor tile = detail::gather_blocks(G, run, first, n, at::kDouble);
      const Tensor squares = tile.square().sum(2);
      detail::check_rows_finite(at::diag_embed(squares));
      const Tensor other = tile.transpose(1, 2);
      all.push_back(at::linalg_eigvalsh(run.width < m ? at::bmm(other, tile) : at::bmm(tile, other))
                        .reshape(-1));
    }
  }
  FisherSpectrum out;
  const double lambda = options.damping;
  const Tensor raised = at::cat(all).clamp_min(0).div_(static_cast<double>(m)).add_(lambda);
  out.eigenvalues = std::get<0>(raised.sort(0, /*descending=*/true));
  out.at_damping = d - out.eigenvalues.numel();
  const double rest = static_cast<double>(out.at_damping);
  out.trace = out.eigenvalues.sum().item<double>() + rest * lambda;
  out.trace_of_inverse = out.eigenvalues.reciprocal().sum().item<double>() + rest / lambda;
  out.log_det = out.eigenvalues.log().sum().item<double>() + rest * std::log(lambda);
  return out;
}

}  // namespace ritz::optim
