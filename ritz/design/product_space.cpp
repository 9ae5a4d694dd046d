#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"
#include "ritz/design/detail/square_sampler.h"
#include "ritz/design/detail/tridiagonal_dpp.h"
#include "ritz/design/space.h"

namespace ritz::design {
namespace {

void check_index(const Tensor& index, int64_t dim) {
  check_shape("index", index, {-1, dim});
  if (index.scalar_type() != at::kLong) throw InvalidArgument("index", "int64", describe(index));
  check_at_least("index rows", index.size(0), 1);
  std::set<std::vector<int64_t>> seen;
  for (int64_t i = 0; i < index.size(0); ++i) {
    const auto* row = index.data_ptr<int64_t>() + i * dim;
    for (int64_t j = 0; j < dim; ++j) {
      if (row[j] < 0) {
        throw InvalidArgument("index", "function numbers >= 0", std::to_string(row[j]),
                              "row " + std::to_string(i));
      }
    }
    if (!seen.emplace(row, row + dim).second)
      throw InvalidArgument("index", "rows that differ", "one twice", "row " + std::to_string(i));
  }
}

// The functions of one coordinate at all points [n] -> [n, count]: the tensor twin of
// FamilyFunctions::evaluate, for any device and for gradients.
Tensor family_values(const FamilyFunctions& functions, const Tensor& x) {
  std::vector<Tensor> values{torch::ones_like(x)};
  const auto count = functions.count();
  if (functions.family().kind == FamilyKind::trigonometric) {
    for (int64_t j = 1; j < count; ++j) {
      const Tensor angle = x * (2 * M_PI * static_cast<double>((j + 1) / 2));
      values.push_back(M_SQRT2 * (j % 2 == 1 ? angle.cos() : angle.sin()));
    }
    return torch::stack(values, 1);
  }
  const auto &c = functions.centres(), &s = functions.steps();
  for (int64_t k = 0; k + 1 < count; ++k) {
    const auto i = static_cast<size_t>(k);
    Tensor next = (x - c[i]) * values[i];
    if (k > 0) next -= s[i] * values[i - 1];
    values.push_back(next / s[i + 1]);
  }
  return torch::stack(values, 1);
}

}  // namespace

Tensor Space::basis(const Tensor& points) const {
  check_dim("points", points, 2);
  check_shape("points", points, {-1, dim()});
  return do_basis(points);
}

ProductSpace::ProductSpace(std::vector<Family> families, Tensor index)
    : families_(std::move(families)), index_(std::move(index)) {
  check_at_least("dim", static_cast<int64_t>(families_.size()), 1);
  check_dim("index", index_, 2);
  index_ = index_.cpu().contiguous();
  check_index(index_, dim());
  m_ = index_.size(0);
  const auto* k = index_.data_ptr<int64_t>();
  for (int64_t j = 0; j < dim(); ++j) {
    int64_t most = 0;
    for (int64_t i = 0; i < m_; ++i) most = std::max(most, k[i * dim() + j]);
    counts_.push_back(most + 1);
    offsets_.push_back(table_);
    table_ += most + 1;
    const auto& family = families_[static_cast<size_t>(j)];
    const auto same = std::find_if(samplers_.begin(), samplers_.end(), [&](const auto& sampler) {
      return sampler->functions().family() == family && sampler->functions().count() == most + 1;
    });
    samplers_.push_back(same != samplers_.end()
                            ? *same
                            : std::make_shared<const detail::SquareSampler>(family, most + 1));
  }
  first_.push_back(0);
  for (int64_t i = 0; i < m_; ++i) {
    for (int64_t j = 0; j < dim(); ++j) {
      const int64_t function = k[i * dim() + j];
      if (function > 0)
        factors_.push_back(static_cast<int32_t>(offsets_[static_cast<size_t>(j)] + function));
    }
    first_.push_back(static_cast<int32_t>(factors_.size()));
  }
}

std::string ProductSpace::description() const {
  return families_name(families_) + ", " + std::to_string(m_) + " functions of " +
         std::to_string(dim()) + (dim() == 1 ? " variable" : " variables");
}

bool ProductSpace::has_tridiagonal_dpp() const {
  return dim() == 1 && families_[0].kind != FamilyKind::trigonometric && counts_[0] == m_;
}

bool ProductSpace::draw_dpp(detail::Variates& variates, double* points) const {
  if (!has_tridiagonal_dpp()) return false;
  detail::draw_tridiagonal_dpp(families_[0], m_, variates, points);
  return true;
}

void ProductSpace::draw_christoffel(int64_t count, detail::Variates& variates, double* points,
                                    double* rows) const {
  const int64_t d = dim();
  std::vector<double> work(static_cast<size_t>(table_));
  const auto* index = index_.data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t* function = index + variates.below(m_) * d;
    for (int64_t j = 0; j < d; ++j)
      points[i * d + j] =
          samplers_[static_cast<size_t>(j)]->draw(function[j], variates, work.data());
  }
  if (rows != nullptr) evaluate(count, points, rows);
}

void ProductSpace::draw_measure(int64_t count, detail::Variates& variates, double* points) const {
  std::vector<double> work(static_cast<size_t>(table_));
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < dim(); ++j)
      points[i * dim() + j] = samplers_[static_cast<size_t>(j)]->draw(0, variates, work.data());
}

// One table a point, 5 flops an entry, then the products: (degrees above 0 of all functions) loads
// and multiplications, all within the first cache.
void ProductSpace::evaluate(int64_t count, const double* points, double* rows) const {
  const int64_t d = dim();
  std::vector<double> table(static_cast<size_t>(table_));
  for (int64_t i = 0; i < count; ++i, points += d, rows += m_) {
    for (int64_t j = 0; j < d; ++j) {
      const auto at = static_cast<size_t>(j);
      samplers_[at]->functions().evaluate(points[j], table.data() + offsets_[at]);
    }
    const int32_t* factor = factors_.data();
    for (int64_t f = 0; f < m_; ++f) {
      double value = 1;
      for (const int32_t* end = factors_.data() + first_[static_cast<size_t>(f) + 1]; factor < end;
           ++factor)
        value *= table[static_cast<size_t>(*factor)];
      rows[f] = value;
    }
  }
}

Tensor ProductSpace::do_basis(const Tensor& points) const {
  check_floating("points", points);
  if (points.is_cpu() && !(points.requires_grad() && at::GradMode::is_enabled())) {
    const Tensor x = points.to(at::kDouble).contiguous();
    Tensor rows = torch::empty({x.size(0), m_}, torch::kFloat64);
    const auto* from = x.data_ptr<double>();
    auto* to = rows.data_ptr<double>();
    parallel_for(0, x.size(0), std::max<int64_t>(1, 16384 / m_),
                 [&](int64_t i, int64_t end) { evaluate(end - i, from + i * dim(), to + i * m_); });
    return rows.to(points.scalar_type());
  }
  Tensor product = torch::ones({points.size(0), m_}, points.options());
  for (int64_t j = 0; j < dim(); ++j) {
    const auto& functions = samplers_[static_cast<size_t>(j)]->functions();
    if (functions.count() > 1)
      product *= family_values(functions, points.select(1, j))
                     .index_select(1, index_.select(1, j).to(points.device()));
  }
  return product;
}

std::shared_ptr<ProductSpace> product_space(const SpaceOptions& options) {
  auto families = parse_families(options.family, options.dim);
  auto index = options.list.defined()
                   ? options.list
                   : index_set(families, {.kind = parse_index_kind(options.index),
                                          .degree = options.degree,
                                          .anisotropy = options.anisotropy});
  return std::make_shared<ProductSpace>(std::move(families), std::move(index));
}

}  // namespace ritz::design
