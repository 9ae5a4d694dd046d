#pragma once
// The space in which a function is sought: V = span(phi_1 ... phi_m), orthonormal in L2(mu). Its
// samplers draw from mu and from the Christoffel density (k / m) mu, k(x) = sum_j phi_j(x)^2.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ritz/base/tensor.h"
#include "ritz/design/index_set.h"

namespace ritz::design {

namespace detail {
class Variates;
class SquareSampler;
}  // namespace detail

class Space {
 public:
  virtual ~Space() = default;
  /// Numbers that make a point: d; 1 for candidates, whose points are their row numbers.
  virtual int64_t dim() const = 0;
  /// m
  virtual int64_t size() const = 0;
  /// What it is, in one line.
  virtual std::string description() const = 0;

  /// phi at points [n, d] -> [n, m], in the points' dtype and on their device.
  Tensor basis(const Tensor& points) const;

  // For samplers, in double on the CPU. `points` [count, d], `rows` [count, m] (may be null).
  /// Independent points from (k / m) mu, with phi there.
  virtual void draw_christoffel(int64_t count, detail::Variates& variates, double* points,
                                double* rows) const = 0;
  /// Independent points from mu.
  virtual void draw_measure(int64_t count, detail::Variates& variates, double* points) const = 0;
  /// phi at points, one thread.
  virtual void evaluate(int64_t count, const double* points, double* rows) const = 0;
  /// One projection DPP by a way of its own, [m, d]; false where there is none.
  virtual bool draw_dpp(detail::Variates&, double*) const { return false; }

 protected:
  virtual Tensor do_basis(const Tensor& points) const = 0;
};

/// Products phi_i(x) = prod_j phi_{k_ij}(x_j) of one-variable functions under the product of their
/// measures.
///
///   const auto V = ritz::design::product_space({.family = "legendre", .dim = 2, .degree = 5});
///   V->size();                             // 21: total degree 5 in two variables
///   V->basis(torch::zeros({1, 2}, torch::kFloat64));      // [1, 21]
class ProductSpace final : public Space {
 public:
  /// `index` int64 [m, d]: the rows' functions; all different.
  ProductSpace(std::vector<Family> families, Tensor index);

  int64_t dim() const override { return static_cast<int64_t>(families_.size()); }
  int64_t size() const override { return m_; }
  std::string description() const override;
  const std::vector<Family>& families() const { return families_; }
  /// int64 [m, d]
  const Tensor& index() const { return index_; }
  /// One variable, and the functions are 0 ... m - 1 of a polynomial family: the beta ensembles'
  /// tridiagonal matrices give the DPP in O(m^2).
  bool has_tridiagonal_dpp() const;

  void draw_christoffel(int64_t count, detail::Variates& variates, double* points,
                        double* rows) const override;
  void draw_measure(int64_t count, detail::Variates& variates, double* points) const override;
  void evaluate(int64_t count, const double* points, double* rows) const override;
  bool draw_dpp(detail::Variates& variates, double* points) const override;

 private:
  Tensor do_basis(const Tensor& points) const override;

  std::vector<Family> families_;
  Tensor index_;
  int64_t m_ = 0;
  std::vector<int64_t> counts_;   // functions of each coordinate
  std::vector<int64_t> offsets_;  // where a coordinate's values begin in a row's table
  int64_t table_ = 0;             // length of that table
  // Function i multiplies the table's entries factors_[first_[i]] ... factors_[first_[i + 1] - 1];
  // constant factors are left out.
  std::vector<int32_t> first_, factors_;
  std::vector<std::shared_ptr<const detail::SquareSampler>> samplers_;  // one a coordinate
};

struct SpaceOptions {
  std::string family = "legendre";  // one for all coordinates, or a list (family.h)
  int64_t dim = 1;
  int64_t degree = 5;
  std::string index = "total";          // tensor, total, hyperbolic
  std::vector<double> anisotropy = {};  // see IndexSetOptions
  Tensor list = {};  // int64 [m, d]: these functions, whatever degree and index say
};
std::shared_ptr<ProductSpace> product_space(const SpaceOptions& options);

/// A finite set of N candidate points with probabilities p: phi is a matrix [N, m] with Phi^T
/// diag(p) Phi = I.
class CandidateSpace final : public Space {
 public:
  struct Options {
    /// Replace Phi by Phi R^-1, R the triangular factor of sqrt(p) Phi; otherwise ||Gram - I||_2
    /// above 1e-6 (float32: 1e-4) is an error.
    bool orthonormalise = false;
    /// Skip that check and its 2 N m^2 flops: the caller knows.
    bool trusted = false;
  };
  /// `phi` [N, m] float32 or float64; `measure` [N] >= 0 (normalised to sum 1), undefined: uniform.
  explicit CandidateSpace(const Tensor& phi, const Tensor& measure, const Options& options);
  explicit CandidateSpace(const Tensor& phi, const Tensor& measure = {})
      : CandidateSpace(phi, measure, Options{}) {}

  int64_t dim() const override { return 1; }
  int64_t size() const override { return phi_.size(1); }
  int64_t candidates() const { return phi_.size(0); }
  std::string description() const override;
  const Tensor& phi() const { return phi_; }          // float64 [N, m], orthonormal
  const Tensor& measure() const { return measure_; }  // float64 [N]
  /// ||Phi^T diag(p) Phi - I||_2 before it was orthonormalised; NaN where trusted.
  double defect() const { return defect_; }
  /// Candidates with k(x) = 0 or p = 0: no design takes them, as their weight would be infinite.
  int64_t dropped() const { return dropped_; }

  void draw_christoffel(int64_t count, detail::Variates& variates, double* points,
                        double* rows) const override;
  void draw_measure(int64_t count, detail::Variates& variates, double* points) const override;
  void evaluate(int64_t count, const double* points, double* rows) const override;

 private:
  Tensor do_basis(const Tensor& points) const override;

  Tensor phi_, measure_;
  double defect_ = 0;
  int64_t dropped_ = 0;
  std::vector<double> leverage_sum_, measure_sum_;  // [N], added up
};

}  // namespace ritz::design
