//! The activation of the MLP.

use super::{Kernel, exp, vector::vectorized};

/// `silu(gate) * up`, element by element.
#[derive(Clone, Debug)]
pub struct SwiGlu;

impl Kernel<2> for SwiGlu {
    type Saved = ();

    fn forward(&self, [gate, up]: [&[f32]; 2]) -> (Vec<f32>, ()) {
        let mut output = vec![0.0; gate.len()];
        vectorized(|| {
            for ((output, &gate), &up) in output.iter_mut().zip(gate).zip(up) {
                *output = gate * sigmoid(gate) * up;
            }
        });
        (output, ())
    }

    fn backward(&self, [gate, up]: [&[f32]; 2], _: &(), gradient: &[f32]) -> [Vec<f32>; 2] {
        let (mut of_gate, mut of_up) = (vec![0.0; gate.len()], vec![0.0; gate.len()]);
        vectorized(|| {
            let results = of_gate.iter_mut().zip(of_up.iter_mut());
            for ((((of_gate, of_up), &gate), &up), &gradient) in results.zip(gate).zip(up).zip(gradient) {
                let share = sigmoid(gate);
                *of_gate = gradient * up * share * (1.0 + gate * (1.0 - share));
                *of_up = gradient * gate * share;
            }
        });
        [of_gate, of_up]
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
