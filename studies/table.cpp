#include "studies/adahessian.h"
#include "studies/batch_scaling.h"
#include "studies/dpp_least_squares.h"
#include "studies/info_koopman.h"
#include "studies/koopman_limits.h"
#include "studies/lp_sensitivity.h"
#include "studies/mfac.h"
#include "studies/mkor.h"
#include "studies/ptd_ssm.h"
#include "studies/stream_eigenvector.h"
#include "studies/study.h"

namespace ritz::studies {

std::string_view name_of(Scale scale) {
  switch (scale) {
    case Scale::quick:
      return "quick";
    case Scale::desk:
      return "desk";
    case Scale::full:
      break;
  }
  return "full";
}

const std::vector<Study>& all_studies() {
  static const std::vector<Study> studies = {
      {.slug = "batch-scaling",
       .title = "Learning rate as a function of batch size",
       .summary =
           "A batch sees larger extreme curvature than the full data, by an amount that "
           "random-matrix theory predicts from one constant. From it follow the largest stable "
           "learning rate for each batch size, linear in it for SGD until it saturates and its "
           "square root for Adam, and the least damping of second-order methods. Here: the "
           "theorems "
           "on synthetic matrices, batch Hessians and largest learning rates of small networks on "
           "Fashion-MNIST, and a learner that sets learning rate and momentum by itself.",
       .source =
           "D. Granziol, S. Zohren, S. Roberts: Learning Rates as a Function of Batch Size: A "
           "Random Matrix Theory Approach to Neural Network Training, JMLR 2022",
       .run = study_batch_scaling},
      {.slug = "adahessian",
       .title = "Adam with the Hessian's diagonal",
       .summary =
           "AdaHessian divides each step by the size of the Hessian's diagonal, estimated by one "
           "random probe a step and averaged over kernels and time. Its authors say that it needs "
           "little tuning and closes Adam's gap to SGD on images. Here: a small convolutional "
           "network on Fashion-MNIST at every method's defaults and over learning rates, and "
           "functions whose curvature is known.",
       .source =
           "Z. Yao, A. Gholami, S. Shen, M. Mustafa, K. Keutzer, M. W. Mahoney: ADAHESSIAN: An "
           "Adaptive Second Order Optimizer for Machine Learning, AAAI 2021",
       .run = study_adahessian},
      {.slug = "dpp-least-squares",
       .title = "Where to evaluate an expensive function",
       .summary =
           "Weighted least squares in a space of m functions is as good as the best approximation "
           "up to a constant if its points are drawn from the Christoffel density, but independent "
           "points are stable only from about m log m on, with a large constant. Points of "
           "determinantal processes repel each other: in one or two variables 2 m to 4 m are "
           "enough, and volume sampling makes the fit unbiased. Here: how often designs are "
           "stable, the error "
           "beside the best approximation's, unbiasedness, two and five variables, and a "
           "simulation "
           "in the function's place.",
       .source =
           "A. Nouy, B. Michel: Weighted least-squares approximation with determinantal point "
           "processes and generalized volume sampling, arXiv 2312.14057, 2024",
       .run = study_dpp_least_squares},
      {.slug = "lp-sensitivity",
       .title = "Few rows that keep every l_p norm",
       .summary =
           "A weighted sample of a tall matrix's rows keeps ||A x||_p for all x at once; how many "
           "rows it takes depends on the scores they are sampled by. Here: matrices on which "
           "leverage, Lewis or uniform sampling fail and root leverage or sensitivities do not, "
           "how "
           "large total sensitivities are, and robust regression on samples of generated and real "
           "tables beside the full solve.",
       .source =
           "D. P. Woodruff, T. Yasuda: Sharper Bounds for l_p Sensitivity Sampling, ICML 2023",
       .run = study_lp_sensitivity},
      {.slug = "stream-eigenvector",
       .title = "The first direction of a stream of rows",
       .summary =
           "One pass over rows in random order, a few of which are much larger than the rest, "
           "gives "
           "the first principal direction within 1 - O(1 / sqrt R) when the large rows are kept "
           "and "
           "the others go through block power iteration, a piece of the stream a step; a grid of "
           "learning rates for Oja's rule works in any order where the gap R is large, no single "
           "rate does. Here: heavy rows, sorted rows, the instance that defeats fixed rates, "
           "Frequent Directions and other sketches beside it, and Fashion-MNIST.",
       .source =
           "P. Kacham, D. P. Woodruff: Approximating the Top Eigenvector in Random Order Streams, "
           "NeurIPS 2024; E. Price, Z. Xun: Spectral Guarantees for Adversarial Streaming PCA, "
           "FOCS "
           "2024",
       .run = study_stream_eigenvector},
      {.slug = "mfac",
       .title = "Matrix-free inverse Fisher matrices: pruning and training",
       .summary =
           "The inverse of a damped empirical Fisher matrix out of m gradients, exact and never "
           "formed, serves to prune trained networks (which weights to drop, how to move the "
           "others) "
           "and to precondition training. Here: one-shot and gradual pruning of a small network, "
           "exactness and cost of the inverse, and the optimiser beside tuned baselines.",
       .source =
           "E. Frantar, E. Kurtic, D. Alistarh: M-FAC: Efficient Matrix-Free Approximations of "
           "Second-Order Information, NeurIPS 2021",
       .run = study_mfac},
      {.slug = "mkor",
       .title = "Kronecker factors renewed by rank-1 updates",
       .summary =
           "MKOR preconditions each layer's gradient with two inverse factors, as K-FAC does, but "
           "renews them by one vector each in O(d^2) instead of inverting covariances in O(d^3), "
           "and "
           "sends vectors instead of matrices. Here: steps to a loss on Fashion-MNIST beside SGD, "
           "Adam, LAMB, Eva and K-FAC, the cost of a renewal and of an iteration, the words sent, "
           "and "
           "MKOR-H, which goes on with its backend alone once the loss falls slowly.",
       .source = "M. Mozaffari, S. Li, Z. Zhang, M. Mehri Dehnavi: MKOR: Momentum-Enabled "
                 "Kronecker-Factor-Based Optimizer Using Rank-1 Updates, NeurIPS 2023",
       .run = study_mkor},
      {.slug = "info-koopman",
       .title = "Koopman latents shaped by information",
       .summary =
           "A Koopman autoencoder that is rewarded for what neighbouring latents tell about each "
           "other keeps slow modes but may collapse onto few; the von Neumann entropy of the "
           "latents' covariance keeps all of them. Here: the two terms in closed form, a field "
           "whose weak oscillator gets lost and is kept, and Lorenz 63 beside the baselines.",
       .source = "Cheng, Yuan, Yang, Zhang, Cheng, He, Sun: Information Shapes Koopman "
                 "Representation, ICLR 2026",
       .run = study_info_koopman},
      {.slug = "koopman-limits",
       .title = "Koopman spectra that can be trusted",
       .summary =
           "Eigenvalues of EDMD are mostly spurious, and more data does not help; residuals give "
           "each an error bar, and for measure-preserving systems a spectrum with a certificate. "
           "No algorithm of one limit can do it for all systems. Here: the certified spectrum of "
           "Duffing's oscillator beside EDMD, spectral measures of the cat map, point and "
           "continuous spectrum, two maps that no sample tells apart, and forecasts by verified "
           "modes of a seasonal field and of measured series.",
       .source = "M. J. Colbrook, I. Mezic, A. Stepanenko: Limits and Powers of Koopman Learning, "
                 "arXiv 2407.06312, 2024",
       .run = study_koopman_limits},
      {.slug = "ptd-ssm",
       .title = "State-space layers in a diagonal basis that does not resonate",
       .summary =
           "HiPPO's state matrix cannot be diagonalised; S4D drops a part of it and resonates. A "
           "small perturbation that is chosen makes it diagonalisable with well-conditioned "
           "eigenvectors and nearly the same transfer function. Here: the transfer functions "
           "and their distance, how conditioning and error depend on the size of the "
           "perturbation, and classifiers of digits and of measured series, clean and with a "
           "disturbance at the resonance.",
       .source = "A. Yu, A. Nigmetov, D. Morozov, M. Mahoney, N. B. Erichson: Robustifying "
                 "State-space Models for Long Sequences via Approximate Diagonalization, ICLR 2024",
       .run = study_ptd_ssm},
  };
  return studies;
}

}  // namespace ritz::studies
