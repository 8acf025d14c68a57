/** Where Pulumi's vendor offers releases and plugins; the Automation API downloads from there. */
const probeUrl = "https://get.pulumi.com/install.sh";
const probeTimeoutMs = 5_000;

let answer: Promise<string | undefined> | undefined;

/** Why the vendor's download site cannot be used; undefined when it can. Asked once a run, for at most 5 seconds. */
export function vendorObstacle(): Promise<string | undefined> {
  answer ??= probe();
  return answer;
}

async function probe(): Promise<string | undefined> {
  const { host } = new URL(probeUrl);
  try {
    const response = await fetch(probeUrl, { method: "HEAD", signal: AbortSignal.timeout(probeTimeoutMs) });
    return response.ok ? undefined : `${host} answers ${response.status}`;
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return `${host} cannot be reached (${cause?.code ?? "no answer in 5 s"})`;
  }
}
