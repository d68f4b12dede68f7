//! The chapter of one model on one dataset.

use anyhow::Result;
use otaro_trainer::strategy::Width;
use sefp::{Precision, Reconstruction};

use super::{
    Report,
    collect::Study,
    costs::{Equal, compared, one_beside_six},
    methods::{Seeds, fixed, methods, trained},
    perplexities::{perplexities, ratios, shares, variants},
    statistics::Sample,
    table::{Table, section},
};
use crate::{
    plot::{self, Series},
    results::{GradientAnalysis, Step},
};

/// Adds a chapter and its plots. `folder` is what links to plots begin with, `file` what their names begin
/// with.
pub(super) fn write(report: &mut Report, folder: &str, title: &str, file: &str, study: &Study) -> Result<()> {
    let mut chapter = Chapter { report, folder, file };
    chapter.text(&format!("## {title}\n\n"));
    for trained in trained(study) {
        chapter.trained_with(trained, &methods(study, trained))?;
    }
    for reconstruction in Reconstruction::ALL {
        let of_it = |analysis: &&GradientAnalysis| analysis.reconstruction == reconstruction;
        chapter.gradients(reconstruction, &study.gradients.iter().filter(of_it).collect::<Vec<_>>());
    }
    for (run, steps) in &study.steps {
        chapter.run(run, steps)?;
    }
    Ok(())
}

struct Chapter<'a> {
    report: &'a mut Report,
    folder: &'a str,
    file: &'a str,
}

impl Chapter<'_> {
    fn trained_with(&mut self, trained: Reconstruction, methods: &[Seeds]) -> Result<()> {
        for read in Reconstruction::ALL {
            let heading = match read == trained {
                true => format!("Perplexity, {trained}"),
                false => format!("Trained with {trained}, read with {read}"),
            };
            let note = "Mean ± sample standard deviation over seeds; the best of a column is bold.";
            // References without a reconstruction would fill a table that no other method is in.
            let compared = methods.iter().any(|method| {
                let quantised = method.runs.iter().any(|run| run.trained_reconstruction.is_some());
                quantised && Precision::ALL.iter().any(|&it| method.perplexity(read, Width::At(it)).is_some())
            });
            if compared {
                self.text(&section(&heading, note, &perplexities(methods, read)));
            }
        }
        let plot = plot::perplexity(&format!("Perplexity by width, {trained}"), &lines(methods, trained))?;
        self.plot(&format!("perplexity-{trained}"), "Perplexity by width", plot);
        self.text("\n");
        let note = "Perplexity divided by that of the model tuned for this width alone, paired by seed. Last, the \
                    passes of all six of those in relation to the method's own.";
        self.text(&section(
            &format!("One checkpoint or one per width, {trained}"),
            note,
            &ratios(methods, trained),
        ));
        let note = "Share of the passes at every width, in percent.";
        self.text(&section(&format!("Paths, {trained}"), note, &shares(methods)));
        self.costs(trained, methods);
        let note = "Only the settings that differ; the mean is geometric, over M8 to M3.";
        self.text(&section(&format!("Variants, {trained}"), note, &variants(methods, trained)));
        Ok(())
    }

    fn costs(&mut self, trained: Reconstruction, methods: &[Seeds]) {
        let note = "Perplexity of one checkpoint for all widths divided by that of six models, each tuned for its \
                    width alone, which cost as many passes together; paired by seed.";
        let heading = format!("One checkpoint or six for the same passes, {trained}");
        self.text(&section(&heading, note, &one_beside_six(methods, trained)));
        let note = "Methods for all widths with as many updates of the weights. A pass is forward and backward, one \
                    of a teacher, forward only, counts as a third; the mean is geometric, over M8 to M3.";
        self.text(&section(
            &format!("At equal steps, {trained}"),
            note,
            &compared(methods, trained, Equal::Steps),
        ));
        let note = "Methods for all widths with as many passes, to 2 %.";
        let table = compared(methods, trained, Equal::Passes);
        self.text(&section(&format!("At equal passes, {trained}"), note, &table));
    }

    fn gradients(&mut self, reconstruction: Reconstruction, analyses: &[&GradientAnalysis]) {
        let mean = |value: &dyn Fn(&GradientAnalysis) -> f64, decimals| {
            let values: Vec<_> = analyses.iter().map(|&analysis| value(analysis)).collect();
            Sample::of(&values).map(|sample| sample.format(decimals))
        };
        let names = || Width::ALL.iter().map(Width::to_string);
        let mut cosines = Table::new([String::new()].into_iter().chain(names()));
        let mut norms = Table::new([String::new()].into_iter().chain(names()));
        for (row, name) in names().enumerate() {
            let cells = (0..7).filter_map(|column| mean(&|analysis| analysis.cosine[row][column], 3));
            let cells: Vec<_> = cells.collect();
            if !cells.is_empty() {
                cosines.row([name].into_iter().chain(cells));
            }
        }
        let cells: Vec<_> =
            (0..7).filter_map(|width| mean(&|analysis| analysis.norm_error[width], 3)).collect();
        if !cells.is_empty() {
            norms.row(["error".to_string()].into_iter().chain(cells));
        }
        let note = "Cosine between the gradients of one batch at two widths.";
        self.text(&section(&format!("Direction of the gradients, {reconstruction}"), note, &cosines));
        let note = "Difference of the norm to that of the unquantised gradient, as a share of it.";
        self.text(&section(&format!("Length of the gradients, {reconstruction}"), note, &norms));
    }

    fn run(&mut self, run: &str, steps: &[Step]) -> Result<()> {
        self.text(&format!("### Run {run}\n\n"));
        self.plot(&format!("{run}-loss"), "Training loss by width", plot::loss_per_width(steps)?);
        self.plot(&format!("{run}-path"), "Path of the widths", plot::width_path(steps)?);
        self.plot(&format!("{run}-norms"), "Gradient norm by width", plot::gradient_norms(steps)?);
        self.text("\n");
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.report.markdown += text;
    }

    fn plot(&mut self, name: &str, description: &str, svg: String) {
        let name = format!("{}-{name}.svg", self.file);
        self.text(&format!("![{description}]({}/plots/{name})\n", self.folder));
        self.report.plots.insert(name, svg);
    }
}

/// One line per method for all widths, the unquantised reference, and the models tuned for one width as one
/// line. Without tuning the line would be far above and flatten the others.
fn lines(methods: &[Seeds], read: Reconstruction) -> Vec<Series> {
    let points = |method: &Seeds| {
        let point = |width| method.perplexity(read, width).map(|sample| (width, sample.mean));
        Width::ALL.into_iter().filter_map(point).collect()
    };
    let alone = Precision::ALL.into_iter().filter_map(|precision| {
        let width = Width::At(precision);
        fixed(methods, precision)?.perplexity(read, width).map(|sample| (width, sample.mean))
    });
    let alone = Series { label: "tuned for this width alone".to_string(), points: alone.collect() };
    let others = methods.iter().filter(|method| method.label == "full" || method.is_for_all_widths());
    let others = others.map(|method| Series { label: method.title(), points: points(method) });
    [alone].into_iter().chain(others).filter(|series| !series.points.is_empty()).collect()
}
