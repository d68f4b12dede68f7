use burn::tensor::{Bool, Device, Distribution, Int, Tensor, TensorData, activation};

use super::*;

/// Values and gradients of an operation and of its composition from plain ones.
fn assert_same<const N: usize, const D: usize>(
    inputs: [Tensor<2>; N],
    fused: impl Fn([Tensor<2>; N]) -> Option<Tensor<D>>,
    plain: impl Fn([Tensor<2>; N]) -> Tensor<D>,
) {
    let untracked = fused(inputs.clone()).expect("it runs on the CPU");
    let [fused, plain] =
        [&|inputs| fused(inputs).expect("it runs on the CPU"), &plain as &dyn Fn(_) -> Tensor<D>]
            .map(|run| gradients(&inputs, run));
    close(&untracked.into_data(), &plain[0], "untracked value");
    for (index, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
        close(fused, plain, if index == 0 { "value" } else { "gradient" });
    }
}

/// The output and the gradients of the inputs of a sum over it in which every number counts differently.
fn gradients<const N: usize, const D: usize>(
    inputs: &[Tensor<2>; N],
    run: &dyn Fn([Tensor<2>; N]) -> Tensor<D>,
) -> Vec<TensorData> {
    let leaves = inputs.clone().map(|input| input.autodiff().require_grad());
    let output = run(leaves.clone());
    let count = output.shape().num_elements();
    let factors: Vec<f32> = (0..count).map(|index| (index as f32 * 0.7).sin() + 0.3).collect();
    let factors = Tensor::<D>::from_data(TensorData::new(factors, output.dims()), &output.device());
    let mut gradients = (output.clone() * factors).sum().backward();
    let of_leaves = leaves.map(|leaf| leaf.grad_remove(&mut gradients).expect("a gradient").into_data());
    [output.into_data()].into_iter().chain(of_leaves).collect()
}

fn close(fused: &TensorData, plain: &TensorData, what: &str) {
    let [fused, plain] = [fused, plain].map(|data| data.as_slice::<f32>().expect("f32").to_vec());
    let scale = plain.iter().fold(0.0_f32, |scale, x| scale.max(x.abs()));
    for (index, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
        assert!((fused - plain).abs() <= 2e-5 * scale + 1e-7, "{what} {index}: {fused} instead of {plain}");
    }
}

fn random(rows: usize, columns: usize, size: f64) -> Tensor<2> {
    Tensor::random([rows, columns], Distribution::Normal(0.0, size), &Device::flex())
}

fn targets(rows: usize, vocab: usize) -> Vec<u32> {
    (0..rows).map(|row| (row * 7919 % vocab) as u32).collect()
}

#[test]
fn cross_entropy_is_the_log_softmax_of_the_target() {
    for (rows, vocab, size) in [(1, 1, 1.0), (3, 7, 1.0), (5, 33, 50.0), (17, 512, 3.0), (4, 100, 1e4)] {
        let targets = targets(rows, vocab);
        let tokens: Vec<i32> = targets.iter().map(|&token| token as i32).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [rows, 1]), &Device::flex());
        let kernel = CrossEntropy { targets: targets.into() };
        assert_same(
            [random(rows, vocab, size)],
            |[logits]| apply(kernel.clone(), [&logits], [1]),
            |[logits]| activation::log_softmax(logits, 1).gather(1, tokens.clone()).sum().neg(),
        );
    }
}

#[test]
fn distillation_is_the_divergence_from_the_teacher() {
    for (rows, vocab, size) in [(1, 2, 1.0), (3, 7, 1.0), (9, 130, 5.0), (4, 100, 300.0)] {
        let teacher = random(rows, vocab, size);
        assert_same(
            [random(rows, vocab, size)],
            |[student]| {
                let teacher = teacher.clone();
                let teacher = if student.device().is_autodiff() { teacher.autodiff() } else { teacher };
                apply(Distillation { vocab }, [&student, &teacher], [1])
            },
            |[student]| {
                let teacher = activation::log_softmax(teacher.clone().autodiff(), 1);
                (teacher.clone().exp() * (teacher - activation::log_softmax(student, 1))).sum()
            },
        );
    }
}

#[test]
fn rms_norm_divides_by_the_root_of_the_mean_square() {
    for (rows, width, size) in [(1, 1, 1.0), (3, 7, 1.0), (5, 33, 1e-3), (17, 192, 100.0)] {
        assert_same(
            [random(rows, width, size), random(1, width, 1.0)],
            |[x, weight]| apply(RmsNorm { eps: 1e-5 }, [&x, &weight], x.dims()),
            |[x, weight]| {
                let scale = (x.clone().powi_scalar(2).mean_dim(1) + 1e-5).sqrt().recip();
                x * scale * weight
            },
        );
    }
}

#[test]
fn swiglu_is_silu_times_up() {
    for (rows, width, size) in [(1, 1, 1.0), (3, 7, 30.0), (8, 129, 2.0)] {
        assert_same(
            [random(rows, width, size), random(rows, width, size)],
            |[gate, up]| apply(SwiGlu, [&gate, &up], gate.dims()),
            |[gate, up]| activation::silu(gate) * up,
        );
    }
}

#[test]
fn linear_multiplies_with_the_transposed_weight() {
    for (rows, inputs, outputs) in [(1, 1, 1), (3, 7, 5), (70, 33, 129)] {
        assert_same(
            [random(rows, inputs, 1.0), random(outputs, inputs, 1.0)],
            |[x, weight]| apply(Linear { inputs }, [&x, &weight], [rows, outputs]),
            |[x, weight]| x.matmul(weight.transpose()),
        );
    }
}

#[test]
fn attention_is_a_softmax_over_the_past() {
    for (batch, length, heads, kv_heads, d, size) in [
        (1, 1, 1, 1, 2, 1.0),
        (2, 5, 4, 2, 6, 1.0),
        (1, 64, 3, 1, 4, 3.0),
        (2, 130, 6, 3, 32, 1.0),
        (1, 65, 2, 2, 8, 6.0),
    ] {
        let angles: Vec<[f32; 2]> =
            (0..length * d / 2).map(|index| (index as f32 * 0.37).sin_cos().into()).collect();
        let kernel = Attention { length, heads, kv_heads, head_dim: d, angles: angles.clone().into() };
        let [query, key] = [heads, kv_heads].map(|heads| random(batch * length, heads * d, size));
        assert_same(
            [query, key, random(batch * length, kv_heads * d, 1.0)],
            |[query, key, value]| apply(kernel.clone(), [&query, &key, &value], query.dims()),
            |inputs| plain_attention(&angles, [batch, length, heads, kv_heads, d], inputs),
        );
    }
}

fn plain_attention(
    angles: &[[f32; 2]],
    [batch, length, heads, kv_heads, d]: [usize; 5],
    [query, key, value]: [Tensor<2>; 3],
) -> Tensor<2> {
    let device = query.device();
    let table = |part: usize| {
        let values = angles.iter().map(|angle| angle[part]).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, 1, length, d / 2]), &device)
    };
    let (cos, sin) = (table(0), table(1));
    let split = |x: Tensor<2>, count: usize| {
        let x = x.reshape([batch, length, count, d]).swap_dims(1, 2);
        let copies = (0..heads).map(|head| x.clone().narrow(1, head / (heads / count), 1)).collect();
        Tensor::cat(copies, 1)
    };
    let rotate = |x: Tensor<4>| {
        let (a, b) = (x.clone().narrow(3, 0, d / 2), x.narrow(3, d / 2, d / 2));
        let first = a.clone() * cos.clone() - b.clone() * sin.clone();
        Tensor::cat(vec![first, b * cos.clone() + a * sin.clone()], 3)
    };
    let query = rotate(split(query, heads)) * (d as f64).sqrt().recip();
    let scores = query.matmul(rotate(split(key, kv_heads)).transpose());
    let future: Tensor<4, Bool> =
        Tensor::<2, Bool>::tril_mask([length, length], 0, &Device::flex()).unsqueeze();
    let shares = activation::softmax(
        scores.mask_fill(future.expand([batch, heads, length, length]), f32::NEG_INFINITY),
        3,
    );
    shares.matmul(split(value, kv_heads)).swap_dims(1, 2).reshape([batch * length, heads * d])
}
