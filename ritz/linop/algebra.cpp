#include "ritz/linop/algebra.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz {
namespace {

using Operators = std::vector<LinearOperatorPtr>;

void check_operator(std::string_view name, const LinearOperatorPtr& op) {
  if (!op) throw InvalidArgument(name, "an operator", "null");
}

void check_operators(std::string_view name, const Operators& ops) {
  if (ops.empty()) throw InvalidArgument(name, "at least one operator", "none");
  for (const auto& op : ops) {
    check_operator(name, op);
    check_options(name, torch::empty({0}, op->options()), ops.front()->options());
  }
}

void check_size(std::string_view name, int64_t expected, int64_t found) {
  if (expected != found) {
    throw InvalidArgument(name, std::to_string(expected), std::to_string(found));
  }
}

void check_factor(std::complex<double> c, const TensorOptions& options) {
  if (c.imag() != 0 && !c10::isComplexType(c10::typeMetaToScalarType(options.dtype()))) {
    throw InvalidArgument("c", "a real number, for a real operator", "a complex one");
  }
}

at::Scalar scalar(std::complex<double> c) {
  if (c.imag() == 0) return c.real();
  return c10::complex<double>(c.real(), c.imag());
}

class Identity : public SymmetricOperator {
 public:
  Identity(int64_t n, TensorOptions options) : n_(n), options_(options) {}
  int64_t rows() const override { return n_; }
  TensorOptions options() const override { return options_; }

 private:
  Tensor do_apply(const Tensor& x) const override { return x.clone(); }

  int64_t n_;
  TensorOptions options_;
};

class Scaled : public LinearOperator {
 public:
  Scaled(std::complex<double> c, LinearOperatorPtr A) : c_(c), A_(std::move(A)) {}
  int64_t rows() const override { return A_->rows(); }
  int64_t cols() const override { return A_->cols(); }
  TensorOptions options() const override { return A_->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override { return A_->apply(x) * scalar(c_); }
  Tensor do_apply_adjoint(const Tensor& x) const override {
    return A_->apply_adjoint(x) * scalar(std::conj(c_));
  }

  std::complex<double> c_;
  LinearOperatorPtr A_;
};

class Sum : public LinearOperator {
 public:
  explicit Sum(Operators terms) : terms_(std::move(terms)) {}
  int64_t rows() const override { return terms_[0]->rows(); }
  int64_t cols() const override { return terms_[0]->cols(); }
  TensorOptions options() const override { return terms_[0]->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override {
    auto y = terms_[0]->apply(x);
    for (size_t i = 1; i < terms_.size(); ++i) y = y + terms_[i]->apply(x);
    return y;
  }
  Tensor do_apply_adjoint(const Tensor& x) const override {
    auto y = terms_[0]->apply_adjoint(x);
    for (size_t i = 1; i < terms_.size(); ++i) y = y + terms_[i]->apply_adjoint(x);
    return y;
  }

  Operators terms_;
};

class Product : public LinearOperator {
 public:
  explicit Product(Operators factors) : factors_(std::move(factors)) {}
  int64_t rows() const override { return factors_.front()->rows(); }
  int64_t cols() const override { return factors_.back()->cols(); }
  TensorOptions options() const override { return factors_.front()->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override {
    auto y = x;
    for (auto factor = factors_.rbegin(); factor != factors_.rend(); ++factor) {
      y = (*factor)->apply(y);
    }
    return y;
  }
  Tensor do_apply_adjoint(const Tensor& x) const override {
    auto y = x;
    for (const auto& factor : factors_) y = factor->apply_adjoint(y);
    return y;
  }

  Operators factors_;
};

class Shifted : public LinearOperator {
 public:
  Shifted(LinearOperatorPtr A, std::complex<double> c) : A_(std::move(A)), c_(c) {}
  int64_t rows() const override { return A_->rows(); }
  int64_t cols() const override { return A_->cols(); }
  TensorOptions options() const override { return A_->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override { return A_->apply(x) + x * scalar(c_); }
  Tensor do_apply_adjoint(const Tensor& x) const override {
    return A_->apply_adjoint(x) + x * scalar(std::conj(c_));
  }

  LinearOperatorPtr A_;
  std::complex<double> c_;
};

class Adjoint : public LinearOperator {
 public:
  explicit Adjoint(LinearOperatorPtr A) : A_(std::move(A)) {}
  int64_t rows() const override { return A_->cols(); }
  int64_t cols() const override { return A_->rows(); }
  TensorOptions options() const override { return A_->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override { return A_->apply_adjoint(x); }
  Tensor do_apply_adjoint(const Tensor& x) const override { return A_->apply(x); }

  LinearOperatorPtr A_;
};

// One domain, results below each other. Its adjoint is the horizontal stack of adjoints.
class VerticalStack : public LinearOperator {
 public:
  explicit VerticalStack(Operators blocks) : blocks_(std::move(blocks)) {
    for (const auto& block : blocks_) rows_ += block->rows();
  }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return blocks_[0]->cols(); }
  TensorOptions options() const override { return blocks_[0]->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override {
    std::vector<Tensor> parts;
    for (const auto& block : blocks_) parts.push_back(block->apply(x));
    return torch::cat(parts);
  }
  Tensor do_apply_adjoint(const Tensor& x) const override {
    Tensor y;
    int64_t begin = 0;
    for (const auto& block : blocks_) {
      const auto part = block->apply_adjoint(x.narrow(0, begin, block->rows()));
      y = y.defined() ? y + part : part;
      begin += block->rows();
    }
    return y;
  }

  Operators blocks_;
  int64_t rows_ = 0;
};

class DiagonalStack : public LinearOperator {
 public:
  explicit DiagonalStack(Operators blocks) : blocks_(std::move(blocks)) {
    for (const auto& block : blocks_) {
      rows_ += block->rows();
      cols_ += block->cols();
    }
  }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  TensorOptions options() const override { return blocks_[0]->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override {
    std::vector<Tensor> parts;
    int64_t begin = 0;
    for (const auto& block : blocks_) {
      parts.push_back(block->apply(x.narrow(0, begin, block->cols())));
      begin += block->cols();
    }
    return torch::cat(parts);
  }
  Tensor do_apply_adjoint(const Tensor& x) const override {
    std::vector<Tensor> parts;
    int64_t begin = 0;
    for (const auto& block : blocks_) {
      parts.push_back(block->apply_adjoint(x.narrow(0, begin, block->rows())));
      begin += block->rows();
    }
    return torch::cat(parts);
  }

  Operators blocks_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
};

}  // namespace

LinearOperatorPtr identity(int64_t n, const TensorOptions& options) {
  check_at_least("n", n, 0);
  return std::make_shared<Identity>(n, options);
}

LinearOperatorPtr scaled(std::complex<double> c, LinearOperatorPtr A) {
  check_operator("A", A);
  check_factor(c, A->options());
  return std::make_shared<Scaled>(c, std::move(A));
}

LinearOperatorPtr sum(std::vector<LinearOperatorPtr> terms) {
  check_operators("terms", terms);
  for (const auto& term : terms) {
    check_size("rows of a term", terms[0]->rows(), term->rows());
    check_size("columns of a term", terms[0]->cols(), term->cols());
  }
  return std::make_shared<Sum>(std::move(terms));
}

LinearOperatorPtr product(std::vector<LinearOperatorPtr> factors) {
  check_operators("factors", factors);
  for (size_t i = 1; i < factors.size(); ++i) {
    check_size("rows of a factor", factors[i - 1]->cols(), factors[i]->rows());
  }
  return std::make_shared<Product>(std::move(factors));
}

LinearOperatorPtr shifted(LinearOperatorPtr A, std::complex<double> c) {
  check_operator("A", A);
  check_factor(c, A->options());
  check_size("columns of A", A->rows(), A->cols());
  return std::make_shared<Shifted>(std::move(A), c);
}

LinearOperatorPtr adjoint(LinearOperatorPtr A) {
  check_operator("A", A);
  return std::make_shared<Adjoint>(std::move(A));
}

LinearOperatorPtr stack_vertically(std::vector<LinearOperatorPtr> blocks) {
  check_operators("blocks", blocks);
  for (const auto& block : blocks)
    check_size("columns of a block", blocks[0]->cols(), block->cols());
  return std::make_shared<VerticalStack>(std::move(blocks));
}

LinearOperatorPtr stack_horizontally(std::vector<LinearOperatorPtr> blocks) {
  check_operators("blocks", blocks);
  for (auto& block : blocks) {
    check_size("rows of a block", blocks[0]->rows(), block->rows());
  }
  for (auto& block : blocks) block = adjoint(block);
  return adjoint(std::make_shared<VerticalStack>(std::move(blocks)));
}

LinearOperatorPtr stack_diagonally(std::vector<LinearOperatorPtr> blocks) {
  check_operators("blocks", blocks);
  return std::make_shared<DiagonalStack>(std::move(blocks));
}

}  // namespace ritz
