/** An AWS policy as plain data: what is allowed or denied, without Pulumi or an SDK, so that a test can evaluate it. */
export interface PolicyDocument {
  Version: "2012-10-17";
  Statement: Statement[];
}

export interface Statement {
  /** Unique in its document, and the name by which tests and docs speak of the statement. */
  Sid: string;
  Effect: "Allow" | "Deny";
  /** Only in policies of a resource: whom it is about. */
  Principal?: "*" | { Service: string } | { Federated: string };
  Action: string[];
  Resource?: string[];
  /** Operator → key → value; all of them have to hold. */
  Condition?: Record<string, Record<string, string | string[]>>;
}

export function policyDocument(...statements: Statement[]): PolicyDocument {
  return { Version: "2012-10-17", Statement: statements };
}

/** The bucket itself: listing, settings. */
export function bucketArn(bucket: string): string {
  return `arn:aws:s3:::${bucket}`;
}

/** Objects of a bucket: a key, or a prefix with an asterisk. */
export function objectArns(bucket: string, ...keys: string[]): string[] {
  return keys.map((key) => `${bucketArn(bucket)}/${key}`);
}
